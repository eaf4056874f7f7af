"""A large body, read piece by piece and not at once: with a slot, a breaker, a deadline and a limit
like any call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

from offload.serving import release

from .deadline import until
from .errors import DeadlineExceeded
from .http import httpx
from .travel import outgoing

if TYPE_CHECKING:
    from .call import Call
    from .live import Live


@asynccontextmanager
async def stream(
    live: Live, call: Call[httpx.Response], max_bytes: int, within: float
) -> AsyncIterator[httpx.Response]:
    """The response, its body still to be read with `aiter_bytes()`; never retried, hedged, shared
    or kept.

    Raises `httpx.HTTPStatusError` unless the status is 2xx, what `httpx` and this room raise for
    failures, and `DeadlineExceeded` if the body isn't read to its end within that many seconds.
    """
    await release()
    end = until(within)
    headers = [*call.headers, *outgoing()]
    request = httpx.Request(
        call.method,
        str(call.url),
        headers=headers,
        content=call.body,
        extensions={"max_bytes": max_bytes},
    )
    await live.bulkhead.enter(end)
    try:
        async with asyncio.timeout(end - monotonic()) as timer:
            response = await _begin(live, request)
            try:
                if not response.is_success:
                    raise httpx.HTTPStatusError(
                        f"HTTP {response.status_code}", request=request, response=response
                    )
                yield response
            finally:
                await response.aclose()
    except TimeoutError:
        if not timer.expired():
            # Not ours: from the code that reads the body.
            raise
        raise DeadlineExceeded(f"The body wasn't read to its end within {within} s.") from None
    finally:
        live.bulkhead.leave()


async def _begin(live: Live, request: httpx.Request) -> httpx.Response:
    """Send the request and wait for the headers, as long as for a whole answer otherwise."""
    ticket = live.breaker.admit()
    good = None
    try:
        async with asyncio.timeout(live.upstream.attempt_timeout):
            response = await live.transport.handle_async_request(request)
        good = response.status_code < 500
    except TimeoutError:
        good = False
        raise httpx.TimeoutException(
            "No answer within the attempt timeout.", request=request
        ) from None
    except httpx.TransportError:
        good = False
        raise
    finally:
        live.breaker.record(ticket, good)
    return response
