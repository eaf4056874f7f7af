"""A bulkhead: so many calls in flight, so many waiting, and the next one is turned away at once."""

import asyncio
from time import monotonic

from .errors import DeadlineExceeded, Overloaded


class Bulkhead:
    """Keeps one slow upstream from taking the memory and connections that calls to the others need."""

    def __init__(self, slots: int, places: int) -> None:
        self._free = asyncio.Semaphore(slots)
        self._places = places
        self.waiting = 0

    async def enter(self, until: float) -> None:
        """Take a slot, waiting for one until that instant. Raises `Overloaded` or
        `DeadlineExceeded`.
        """
        if self.full:
            await self._queue(until)
        else:
            # Does not wait.
            await self._free.acquire()

    @property
    def full(self) -> bool:
        """Whether a call that enters now has to wait."""
        return self._free.locked()

    def leave(self) -> None:
        """Give the slot back."""
        self._free.release()

    async def _queue(self, until: float) -> None:
        if self.waiting >= self._places:
            raise Overloaded(
                "All calls allowed to this upstream are in flight, and all places to wait are taken."
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(until - monotonic()):
                await self._free.acquire()
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed in the queue for this upstream.") from None
        finally:
            self.waiting -= 1
