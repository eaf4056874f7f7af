"""Records each blocking call on a running event loop.

blockbuster raises an error at such a call. A broad `except` would hide it, so it is recorded.
"""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import forbiddenfruit  # type: ignore[import-untyped]
from blockbuster import BlockBuster, BlockBusterFunction, BlockingError

from offload.guard.runtime import stacks
from offload_dev.pytest.watched_calls import Method, loaded

# Functions that may block, by the end of their file's name: reading a file once, at its first use;
# log lines to standard error; the guard itself.
ALLOWED = [
    ("zoneinfo/_common.py", "load_tzdata"),
    ("mimetypes.py", "init"),
    ("importlib/metadata/__init__.py", "version"),
    ("logging/__init__.py", "emit"),
    ("offload/logs.py", "_write"),
    ("offload/guard/runtime/watchdog.py", "start"),
    # A traceback reads the lines that it shows.
    ("linecache.py", "updatecache"),
    ("linecache>", "updatecache"),
]
# What else blocks in Python itself, by module and names.
FUNCTIONS = {
    "socket": ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"),
    "builtins": ("open",),
    "io": ("open",),
    "os": ("system",),
}
# Where libraries wait for others. In a test something else may stand behind them which does not
# wait: a cache in memory, a mailbox, a task that runs at once, a transport that is made up.
ENTRY_POINTS = (
    *(
        Method("django.core.cache.backends.locmem", "LocMemCache", name)
        for name in ("add", "get", "set", "touch", "incr", "has_key", "delete", "clear")
    ),
    Method("django.core.mail.backends.locmem", "EmailBackend", "send_messages"),
    Method("celery.app.task", "Task", "apply_async"),
    Method("celery.app.base", "Celery", "send_task"),
    Method("httpx", "Client", "send"),
    Method("requests.sessions", "Session", "send"),
    Method("redis.client", "Redis", "execute_command"),
    Method("botocore.client", "BaseClient", "_make_api_call"),
)


@contextmanager
def record_blocking_calls() -> Iterator[list[str]]:
    """While this context is open, blocking I/O on a running loop raises an error and is recorded.

    Yields:
        the list of the sentences so far, each with the line that blocked.
    """
    found: list[str] = []
    original = BlockingError.__init__

    def record(self: BlockingError, call: str) -> None:
        original(self, call)
        step = stacks.responsible_step(stacks.of_this_thread())
        found.append(f"{step or 'a callback'} blocked the event loop with {call}")

    detector = BlockBuster()
    detector.functions |= _more_functions()
    for function in detector.functions.values():
        for file, name in ALLOWED:
            function.can_block_in(file, name)

    with patch.object(BlockingError, "__init__", record):
        detector.activate()
        try:
            yield found
        finally:
            detector.deactivate()
            _forget_replaced_methods(detector)


def _more_functions() -> dict[str, BlockBusterFunction]:
    """What blockbuster does not know, and is loaded."""
    functions: list[tuple[ModuleType | type, str]] = [
        (sys.modules[module], name)
        for module, names in FUNCTIONS.items()
        if module in sys.modules
        for name in names
    ]
    more = {
        f"{owner.__name__}.{name}": BlockBusterFunction(owner, name)
        for owner, name in (*functions, *loaded(ENTRY_POINTS))
    }
    for name in ("flock", "lockf"):
        more[f"fcntl.{name}"] = BlockBusterFunction(
            fcntl, name, can_block_predicate=_returns_at_once
        )
    return more


def _returns_at_once(_: Any, operation: int, *__: Any) -> bool:
    """Whether a call of `flock` or `lockf` does not wait for the lock, or gives it back."""
    return bool(operation & (fcntl.LOCK_NB | fcntl.LOCK_UN))


def _forget_replaced_methods(detector: BlockBuster) -> None:
    """Delete what forbiddenfruit, with which blockbuster patches C types, leaves in them.

    It keeps each replaced method `read` as `_c_read`. Python 3.11.2 ended with a segmentation fault
    while it cleaned up files whose types still had such a method.
    """
    for function in detector.functions.values():
        kept = f"_c_{function.func_name}"
        if isinstance(function.module, type) and kept in vars(function.module):
            forbiddenfruit.reverse(function.module, kept)
