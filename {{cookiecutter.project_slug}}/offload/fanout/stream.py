"""Stream: a large body, read piece by piece.

Opening a stream passes through the same pipeline as a call:

- It is retried, as a call of the same method is, until the head of a response is there. After that,
  nothing is sent again.
- The attempt timeout bounds each attempt to get a head.
- The slot of the bulkhead is held until the stream is closed.
- `within` bounds everything, to the last byte.

A stream is never hedged, shared or cached.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
        async with asyncio.timeout(ends_at - monotonic()) as timer:
            response = await _open(client, context)
            try:
                yield response
            finally:
                await response.aclose()
    except TimeoutError:
        if not timer.expired():
            # The code that reads the body raised its own timeout.
            raise
        raise DeadlineExceeded(f"The body was not read to its end within {within} s.") from None
    finally:
        context.close()


async def _open(client: UpstreamClient, context: CallContext[httpx.Response]) -> httpx.Response:
    """Send the request and count the outcome. What becomes of the body is up to its reader."""
    started = monotonic()
    status: OutcomeStatus | None = None
    try:
        response = await client.pipeline(context)
    except FAILURES as error:
        status = status_of(error)
        raise
    except asyncio.CancelledError:
        # A reader that leaves is not counted.
        status = "timeout" if monotonic() >= context.ends_at else None
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
