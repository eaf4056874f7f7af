"""The body of a stream, which cannot be read any more after its deadline."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

from .errors import FAILURES, DeadlineExceeded
from .http import httpx


@asynccontextmanager
async def late_after(ends_at: float, within: float) -> AsyncIterator[None]:
    """Raise `DeadlineExceeded` if the work inside is not done at this instant.

    Nothing that hands control to somebody else may stand inside, such as a `yield`: its task would
    be cancelled in the middle of what has nothing to do with this time (PEP 789).
    """
    try:
        async with asyncio.timeout(ends_at - monotonic()) as timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise _late(within) from None


def _late(within: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"The body was not read to its end within {within} s.")


class TimedBody(httpx.AsyncByteStream):
    """The body of a stream.

    A read ends at the deadline. If the deadline passes while the reader does something else, the
    connection and the slot are given back at once, and the next read fails.

    Args:
        body: the body as the transport gives it.
        ends_at: the deadline, an instant of `time.monotonic()`.
        within: the seconds that were given, for the error.
        give_back: called at the deadline, if nobody reads then.
    """

    def __init__(
        self, body: Any, ends_at: float, within: float, give_back: Callable[[], None]
    ) -> None:
        self._body = body
        self._ends_at = ends_at
        self._within = within
        self._give_back = give_back
        self._reading = False
        self._closing: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(ends_at - monotonic(), self._expire)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body: AsyncIterable[bytes] = self._body
        pieces = aiter(body)
        while True:
            # The loop's timer may come a millisecond before the deadline.
            if self._closing or monotonic() >= self._ends_at:
                raise _late(self._within)
            async with late_after(self._ends_at, self._within):
                self._reading = True
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                finally:
                    self._reading = False
            yield piece

    async def aclose(self) -> None:
        """Close the body of the transport."""
        self.end()
        if self._closing:
            await self._closing
        else:
            await self._body.aclose()

    def end(self) -> None:
        """The reader has left: the deadline means nothing any more."""
        self._timer.cancel()

    def _expire(self) -> None:
        if not self._reading:
            self._closing = asyncio.ensure_future(self._close())
            self._give_back()

    async def _close(self) -> None:
        with suppress(*FAILURES, OSError):
            await self._body.aclose()
