"""Deadline: the instant at which a request must end. Code inside can only make it earlier."""

from contextvars import ContextVar
from math import inf

# The clock of asyncio's and uvloop's loops. It can also be read in a sync view.
from time import monotonic

_deadline: ContextVar[float] = ContextVar("offload_deadline", default=inf)
# The deadline that the client of a request asked for. It may be too short for anything.
_asked_deadline: ContextVar[float] = ContextVar("offload_asked_deadline", default=inf)


# A class is quicker than a generator, as with `contextlib.suppress`. Every request enters one.
class deadline:  # noqa: N801
    """Give the upstream calls inside at most `seconds` altogether.

    An earlier deadline from outside stays. Enter an instance once.

    Args:
        seconds: from now.
        asked: whether the client of a request asked for it.
    """

    def __init__(self, seconds: float, *, asked: bool = False) -> None:
        self._seconds = seconds
        self._asked = asked

    def __enter__(self) -> None:
        end = min(_deadline.get(), monotonic() + self._seconds)
        self._token = _deadline.set(end)
        if self._asked:
            self._asked_token = _asked_deadline.set(end)

    def __exit__(self, *_: object) -> None:
        _deadline.reset(self._token)
        if self._asked:
            _asked_deadline.reset(self._asked_token)


def latest_end(limit: float = inf) -> float:
    """The instant at which work that may take `limit` seconds has to end.

    It is in seconds of `time.monotonic()`, and never after the deadline; `inf` if nothing bounds
    the work.
    """
    return min(_deadline.get(), monotonic() + limit)


def is_asked(end: float) -> bool:
    """Whether this `latest_end` is the one that a client asked for, and none of the service's."""
    return end == _asked_deadline.get()


def remaining() -> float:
    """Seconds until the deadline; negative once it has passed, `inf` if there is none."""
    return _deadline.get() - monotonic()
