"""Stream: a large body, read piece by piece.

Opening a stream passes through the same pipeline as a call:

- It is retried, as a call of the same method is, until the head of a response is there. After that,
  nothing is sent again.
- The attempt timeout bounds each attempt to get a head.
- The slot of the bulkhead is held until the stream is closed.
- `within` bounds everything, to the last byte. It ends a read, and nothing else that the reader of
  the body does, such as to send a piece on to a slow client (`timed_body.py`).

A stream is never hedged, shared or cached.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from offload.serving import release

from .client import UpstreamClient
from .context import CallContext
from .deadline import latest_end
from .errors import FAILURES, OutcomeStatus, status_of
from .http import httpx
from .outcome import Outcome
from .propagation import propagated_headers
from .request import UpstreamRequest
from .timed_body import TimedBody, late_after
from .traced_call import add_call_event


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
