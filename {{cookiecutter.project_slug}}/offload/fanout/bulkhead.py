"""Bulkhead: bounds how many calls to one upstream are in flight, and how many wait.

One slow upstream cannot take the memory and the connections that calls to the others need.
"""

import asyncio
import logging
from time import monotonic

from .context import CallContext, R, Strategy
from .errors import DeadlineExceeded, Overloaded

logger = logging.getLogger("offload.fanout")

# Seconds between two lines about refused calls of one upstream.
REFUSED_LOG_INTERVAL_SECONDS = 60.0


class Bulkhead:
    """The slots of one upstream, and its queue."""

    def __init__(self, upstream: str, max_in_flight: int, max_waiting: int) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)
        self._upstream = upstream
        self._max_in_flight = max_in_flight
        self._max_waiting = max_waiting
        self.waiting = 0
        self._refused = 0
        # An instant of `time.monotonic()`: before it, refused calls are counted without a line.
        self._next_line_at = 0.0

    @property
    def full(self) -> bool:
        """Whether a call that enters now has to wait."""
        return self._slots.locked()

    async def enter(self, ends_at: float) -> None:
        """Take a slot, and wait for one until `ends_at` (an instant of `time.monotonic()`).

        Raises `Overloaded` if the queue is full, and `DeadlineExceeded` if the time has passed.
        """
        if self._slots.locked():
            await self._wait(ends_at)
        else:
            # There is a free slot: this returns without waiting.
            await self._slots.acquire()

    def leave(self) -> None:
        """Give the slot back."""
        self._slots.release()

    async def _wait(self, ends_at: float) -> None:
        if self.waiting >= self._max_waiting:
            self._count_refused()
            raise Overloaded(
                "As many calls to this upstream are in flight as max_in_flight allows, and as many "
                "wait as max_waiting allows. Raise them, or give gather a limit."
            )

        self.waiting += 1
        try:
            async with asyncio.timeout(ends_at - monotonic()):
                await self._slots.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed while the call waited for a slot of this upstream."
            ) from None
        finally:
            self.waiting -= 1

    def _count_refused(self) -> None:
        """Say that calls are refused: at the first one, and then at most once a minute."""
        self._refused += 1
        now = monotonic()
        if now < self._next_line_at:
            return

        logger.warning(
            "Upstream %s: calls are refused (rejected), %d since the last such line. "
            "max_in_flight=%d calls are under way, and max_waiting=%d wait. Give gather a limit, "
            "or raise them if the upstream can take more. The metric "
            "offload_fanout_outcomes_total counts what is refused.",
            self._upstream,
            self._refused,
            self._max_in_flight,
            self._max_waiting,
        )
        self._refused, self._next_line_at = 0, now + REFUSED_LOG_INTERVAL_SECONDS


class BulkheadStrategy:
    """Lets a call pass when it has a slot. The slot is held until the call's context is closed."""

    def __init__(self, bulkhead: Bulkhead, inner: Strategy) -> None:
        self._bulkhead = bulkhead
        self._inner = inner

    async def __call__(self, context: CallContext[R]) -> R:
        await self._bulkhead.enter(context.ends_at)
        context.on_close.append(self._bulkhead.leave)
        return await self._inner(context)
