"""Deadline: the instant at which a request must end. Code inside can only make it earlier."""

from contextvars import ContextVar
from math import inf

# The clock of asyncio's and uvloop's loops. It can also be read in a sync view.
from time import monotonic

_deadline: ContextVar[float] = ContextVar("offload_deadline", default=inf)


# A class is quicker than a generator, as with `contextlib.suppress`. Every request enters one.
class deadline:  # noqa: N801
    """Give the upstream calls inside at most `seconds` altogether.

    An earlier deadline from outside stays. Enter an instance once.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = _deadline.set(min(_deadline.get(), monotonic() + self._seconds))

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)


def latest_end(limit: float = inf) -> float:
    """The instant at which work that may take `limit` seconds has to end.

    It is in seconds of `time.monotonic()`, and never after the deadline; `inf` if nothing bounds
    the work.
    """
    return min(_deadline.get(), monotonic() + limit)


def remaining() -> float:
    """Seconds until the deadline; negative once it has passed, `inf` if there is none."""
    return _deadline.get() - monotonic()
