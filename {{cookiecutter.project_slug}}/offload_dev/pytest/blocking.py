"""Records blocking calls on a running loop: blockbuster raises, and broad excepts swallow what it
raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from blockbuster import BlockBuster, BlockingError

from offload.guard.runtime import stacks

# Where blocking is right: what is read once, at first use, log lines to standard error, and this
# net itself. (End of a file's name, function.)
ALLOWED = [
    ("zoneinfo/_common.py", "load_tzdata"),
    ("mimetypes.py", "init"),
    ("importlib/metadata/__init__.py", "version"),
    ("logging/__init__.py", "emit"),
    ("offload/guard/runtime/watchdog.py", "start"),
]


@contextmanager
def recording() -> Iterator[list[str]]:
    """While this is open, blocking I/O under a running loop raises, and is added to the list with
    its line.
    """
    found: list[str] = []
    original = BlockingError.__init__

    def noted(self: BlockingError, call: str) -> None:
        original(self, call)
        place = stacks.place(stacks.here())
        found.append(f"{place or 'a callback'} blocked the event loop with {call}")

    detector = BlockBuster()
    for function in detector.functions.values():
        for file, name in ALLOWED:
            function.can_block_in(file, name)
    with patch.object(BlockingError, "__init__", noted):
        detector.activate()
        try:
            yield found
        finally:
            detector.deactivate()
