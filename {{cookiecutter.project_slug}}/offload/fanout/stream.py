"""Stream: a large body, read piece by piece.

Opening a stream passes through the same pipeline as a call:

- It is retried, as a call of the same method is, until the head of a response is there. After that,
  nothing is sent again.
- The attempt timeout bounds each attempt to get a head.
- The slot of the bulkhead is held until the stream is closed.
- `within` bounds everything, to the last byte. It ends a read, and nothing else that the reader of
  the body does, such as to send a piece on to a slow client (`TimedBody`).

A stream is never hedged, shared or cached.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

from offload.serving import release

from .client import UpstreamClient
from .context import CallContext
from .deadline import latest_end
from .errors import FAILURES, DeadlineExceeded, OutcomeStatus, status_of
from .http import httpx
from .outcome import Outcome
from .propagation import propagated_headers
from .request import UpstreamRequest
from .traces import add_call_event


@asynccontextmanager
async def stream(
    client: UpstreamClient, request: UpstreamRequest, max_bytes: int, within: float
) -> AsyncIterator[httpx.Response]:
    """The open response, its body still to be read with `aiter_bytes()`.

    Args:
        client: the client of the upstream.
        request: what to send.
        max_bytes: of the decoded body; reading more raises `TooLarge`.
        within: seconds until the last byte; the request's own deadline holds, too.

    Raises one of `errors.FAILURES`: `httpx.HTTPStatusError` for a status other than 2xx,
    `DeadlineExceeded` when the time is over.
    """
    await release()
    ends_at = latest_end(within)
    context = client.stream_context(request, propagated_headers(), max_bytes, ends_at)
    try:
        response = await _open(client, context, within)
        body = TimedBody(response.stream, ends_at, within, context.close)
        response.stream = body
        try:
            yield response
        finally:
            body.end()
            await response.aclose()
    finally:
        context.close()


async def _open(
    client: UpstreamClient, context: CallContext[httpx.Response], within: float
) -> httpx.Response:
    """Send the request and count the outcome. What becomes of the body is up to its reader."""
    started = monotonic()
    # A reader that leaves is not counted.
    status: OutcomeStatus | None = None
    try:
        async with late_after(context.ends_at, within):
            response = await client.pipeline(context)
    except FAILURES as error:
        status = status_of(error)
        raise
    else:
        status = "ok"
        return response
    finally:
        if status:
            seconds = monotonic() - started
            client.meter.outcome(status, seconds if context.attempts else None)
            outcome: Outcome[Any] = Outcome(status, seconds * 1000, attempts=context.attempts)
            add_call_event(client.name, outcome, context.span)


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
