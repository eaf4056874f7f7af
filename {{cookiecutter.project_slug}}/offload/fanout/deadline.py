"""One absolute deadline a request, in a context variable: whatever is called inside can only
shorten it.
"""

from contextvars import ContextVar
from math import inf

# The clock of asyncio's and uvloop's loops, and it can be read in a sync view, too.
from time import monotonic

_deadline: ContextVar[float] = ContextVar("offload_deadline", default=inf)


class deadline:  # noqa: N801 - a class for speed, like `contextlib.suppress`: every request enters one
    """Give the upstream calls inside at most `seconds` altogether; an outer, earlier deadline
    stays.

    Enter an instance once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = _deadline.set(min(_deadline.get(), monotonic() + self._seconds))

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._before)


def until(limit: float = inf) -> float:
    """The instant, in `time.monotonic()` seconds, at which something allowed `limit` seconds has to
    be over.
    """
    return min(_deadline.get(), monotonic() + limit)


def remaining() -> float:
    """Seconds left until the deadline, below zero once it has passed; `inf` without one."""
    return _deadline.get() - monotonic()
