"""A block: one time span in which the event loop ran nothing but one function."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """One function kept the event loop from everything else for a while.

    Attributes:
        place: file, line and name of the function that blocked the loop.
        request: the request that it worked for, such as `GET /api/quotes`; empty if unknown.
        seconds: how long the loop was blocked, without the time in which the machine ran others.
        ended: when the block ended, by `time.monotonic()`.
        excused: the block is no fault of the code. Two cases: a module is imported for the first
            time, which happens once; a thread is started, which waits for the machine alone.
        stack: the service's functions that were running, outermost first.
    """

    place: str
    request: str
    seconds: float
    ended: float
    excused: bool
    stack: tuple[str, ...]

    def __str__(self) -> str:
        during = f" during {self.request}" if self.request else ""
        return f"{self.place} blocked the event loop for {self.seconds * 1000:.0f} ms{during}"
