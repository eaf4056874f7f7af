"""Counts the blocks of the event loop, and keeps the newest for the development header."""

import logging
from collections import deque

from offload.guard.runtime import metrics
from offload.guard.runtime.block import Block
from offload.guard.runtime.gc_pauses import GcPause

# How many blocks are kept, the newest last.
RECENT_BLOCKS = 20
# How many places a process counts one by one; the blocks at later places are counted as "other".
# Each place is a label value, which Prometheus keeps as a time series of its own.
MAX_COUNTED_PLACES = 50

logger = logging.getLogger("offload.guard")


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
