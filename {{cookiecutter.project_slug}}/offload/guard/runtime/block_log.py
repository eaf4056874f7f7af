"""What the watchdog has seen: the blocks of the event loop, and how late it was."""

import logging
from collections import deque
from dataclasses import dataclass
from time import monotonic

from offload.guard.runtime import metrics
from offload.guard.runtime.gc_pauses import GcPause

# How many blocks are kept, the newest last.
RECENT_BLOCKS = 20
# How many places a process counts one by one; the blocks at later places are counted as "other".
# Each place is a label value, which Prometheus keeps as a time series of its own.
MAX_COUNTED_PLACES = 50
# The watchdog has at most 20 figures a second (twice for each `block_threshold` of 0.1 s): this is
# half a minute.
RECENT_LAGS = 600

logger = logging.getLogger("offload.guard")


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


class BlockLog:
    """The blocks that one process has seen. The watchdog's thread adds, the event loop reads."""

    def __init__(self) -> None:
        self._recent: deque[Block] = deque(maxlen=RECENT_BLOCKS)
        self._counted_places: set[str] = set()

    def add(self, block: Block) -> None:
        """Keep, count and log one block."""
        self._recent.append(block)
        self._count(block)

        stack = "\n".join(f"    {step}" for step in block.stack)
        logger.warning("%s\n%s\n    What to do: docs/when-async-helps/debugging.md", block, stack)

    def add_pause(self, pause: GcPause) -> None:
        """Log one long garbage collection. The metrics have all of them."""
        logger.warning("%s\n    What to do: docs/when-async-helps/debugging.md", pause)

    def recent(self) -> tuple[Block, ...]:
        """The newest blocks, the newest last."""
        # First a copy: another thread may add a block while `tuple()` reads.
        return tuple(self._recent.copy())

    def _count(self, block: Block) -> None:
        metrics.BLOCKED_SECONDS.observe(block.seconds)

        if len(self._counted_places) < MAX_COUNTED_PLACES:
            self._counted_places.add(block.place)
        label = block.place if block.place in self._counted_places else "other"
        metrics.BLOCKS_BY_PLACE.labels(label).inc()


class LagLog:
    """How late the loop of one process was. The watchdog's thread adds, the event loop reads."""

    def __init__(self) -> None:
        # When the watchdog was answered, by `time.monotonic()`, and after how many seconds.
        self._recent: deque[tuple[float, float]] = deque(maxlen=RECENT_LAGS)

    def add(self, seconds: float) -> None:
        """Keep and count one figure."""
        self._recent.append((monotonic(), seconds))
        metrics.LOOP_LAG_SECONDS.observe(seconds)

    def worst_since(self, moment: float) -> float:
        """The longest lag in seconds since a moment of `time.monotonic()`; 0 if there was none."""
        # A copy, because the watchdog's thread adds meanwhile.
        recent = list(self._recent)
        return max((lag for added, lag in recent if added > moment), default=0.0)
