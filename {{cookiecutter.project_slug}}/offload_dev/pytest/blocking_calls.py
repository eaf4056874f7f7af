"""Records each blocking call on a running event loop.

blockbuster raises an error at such a call. A broad `except` would hide it, so it is recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import forbiddenfruit  # type: ignore[import-untyped]
from blockbuster import BlockBuster, BlockingError

from offload.guard.runtime import stacks

# Functions that may block, by the end of their file's name: reading a file once, at its first use;
# log lines to standard error; the guard itself.
ALLOWED = [
    ("zoneinfo/_common.py", "load_tzdata"),
    ("mimetypes.py", "init"),
    ("importlib/metadata/__init__.py", "version"),
    ("logging/__init__.py", "emit"),
    ("offload/logs.py", "_write"),
    ("offload/guard/runtime/watchdog.py", "start"),
]


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


def _forget_replaced_methods(detector: BlockBuster) -> None:
    """Delete what forbiddenfruit, with which blockbuster patches C types, leaves in them.

    It keeps each replaced method `read` as `_c_read`. Python 3.11.2 ended with a segmentation fault
    while it cleaned up files whose types still had such a method.
    """
    for function in detector.functions.values():
        kept = f"_c_{function.func_name}"
        if isinstance(function.module, type) and kept in vars(function.module):
            forbiddenfruit.reverse(function.module, kept)
