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
from offload_dev.pytest.watched_calls import Method, is_of_a_test, is_test_code, loaded

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
    # A pool of processes starts them at its first call.
    ("concurrent/futures/process.py", "__init__"),
    ("concurrent/futures/process.py", "submit"),
]
# What else blocks in Python itself, by module and names.
FUNCTIONS = {
    "socket": ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"),
    "builtins": ("open",),
    "io": ("open",),
    "os": ("system",),
}
# A test itself may prepare files, and read what the service has written.
FILES = ("io.", "os.", "builtins.open")
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
    for call, function in detector.functions.items():
        for file, name in ALLOWED:
            function.can_block_in(file, name)
        _excuse(function, by_tests=call.startswith(FILES))

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


def _excuse(function: BlockBusterFunction, *, by_tests: bool) -> None:
    """Let a function block where that stops nobody else.

    Two cases: on a loop that serves one call only; and, if `by_tests`, in the test's own lines.
    """
    original = function.can_block_predicate

    def may_block(*args: Any, **kwargs: Any) -> bool:
        if original(*args, **kwargs):
            return True
        return (by_tests and is_of_a_test()) or _is_loop_of_one_call()

    function.can_block_predicate = may_block


def _is_loop_of_one_call() -> bool:
    """Whether the service itself runs this thread's loop, as a task does by `asyncio.run`.

    A server, `async_to_sync` or pytest runs the other loops, on which views run.
    """
    running = False
    for step in reversed(stacks.of_thread(sys._getframe(1))):  # noqa: SLF001 - documented
        in_asyncio = "/asyncio/" in step.code.co_filename
        if running and not in_asyncio:
            return stacks.is_service_code(step) and not is_test_code(step)
        running = running or (in_asyncio and step.code.co_name == "run_until_complete")
    return False


def _forget_replaced_methods(detector: BlockBuster) -> None:
    """Delete what forbiddenfruit, with which blockbuster patches C types, leaves in them.

    It keeps each replaced method `read` as `_c_read`. Python 3.11.2 ended with a segmentation fault
    while it cleaned up files whose types still had such a method.
    """
    for function in detector.functions.values():
        kept = f"_c_{function.func_name}"
        if isinstance(function.module, type) and kept in vars(function.module):
            forbiddenfruit.reverse(function.module, kept)
