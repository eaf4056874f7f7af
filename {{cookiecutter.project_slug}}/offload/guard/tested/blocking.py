"""Records blocking calls on a running loop: blockbuster raises, and broad excepts swallow what it raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from blockbuster import BlockBuster, BlockingError
from blockbuster import blockbuster as library

from offload.guard.running import stacks

# Where blocking is right: libraries that read a file once, at first use; and this net. (End of a file's name, function.)
ALLOWED = [
    ("offload/guard/running/watchdog.py", "start"),
    ("django/template/loaders/filesystem.py", "get_contents"),
    ("django/template/loaders/base.py", "get_template"),
    ("zoneinfo/_common.py", "load_tzdata"),
    ("mimetypes.py", "init"),
    ("importlib/metadata/__init__.py", "version"),
]


@contextmanager
def recording() -> Iterator[list[str]]:
    """While this is open, blocking I/O under a running loop raises, and is added to the list with its line."""
    found: list[str] = []

    class Recorded(BlockingError):
        def __init__(self, call: str) -> None:
            super().__init__(call)
            place = stacks.place(stacks.here())
            found.append(f"{place or 'a callback'} blocked the event loop with {call}")

    detector = BlockBuster()
    for function in detector.functions.values():
        for file, name in ALLOWED:
            function.can_block_in(file, name)
    library.BlockingError = Recorded  # type: ignore[assignment,misc] # the name that its wrappers raise
    detector.activate()
    try:
        yield found
    finally:
        detector.deactivate()
        library.BlockingError = BlockingError  # type: ignore[misc]
