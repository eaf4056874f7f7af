"""Send: the innermost step of the pipeline. It sends one request."""

from math import isinf

from .context import CallContext, R
from .http import httpx
from .metrics import Meter
from .propagation import DEADLINE_HEADER
from .raw_response import RawResponse
from .request import Headers
from .transport import AiohttpTransport
from .upload import Upload


class SendStrategy:
    """Sends one request over the upstream's transport, and tells the upstream how long it has."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        propagate: bool,
        meter: Meter,
    ) -> None:
        self._transport = transport
        self._propagate = propagate
        self._meter = meter

    async def __call__(self, context: CallContext[R]) -> R:
        if context.is_hedge:
            self._meter.hedges.inc()
        else:
            context.attempts += 1
            self._meter.attempts.inc()

        headers = context.headers
        if self._propagate:
            headers = [*headers, *_deadline_header(context)]
        if context.authorization:
            headers = [*headers, ("Authorization", context.authorization)]

        try:
            return await context.exchange(self._transport, context, headers)
        except httpx.TransportError as error:
            error.request = httpx.Request(context.request.method, str(context.request.url))
            raise


def _deadline_header(context: CallContext[R]) -> Headers:
    """The time in which this request is of use; no header for a stream without a time limit.

    A stream's body may outlast its attempt.
    """
    seconds = context.time_left()
    if not context.streaming:
        seconds = min(seconds, context.attempt_timeout)
    if isinf(seconds):
        return []
    return [(DEADLINE_HEADER, str(max(0, int(seconds * 1000))))]


async def read_whole(
    transport: httpx.AsyncBaseTransport, context: CallContext[RawResponse], headers: Headers
) -> RawResponse:
    """The exchange of a call: send the request and read the response to its end.

    Raises `httpx.HTTPStatusError` unless the status is 2xx.
    """
    request = context.request
    if isinstance(transport, AiohttpTransport):
        raw = await transport.fetch(
            request.method, request.url, headers, request.body, context.max_bytes
        )
    else:
        raw = await _read(transport, context, headers)

    if not 200 <= raw.status < 300:
        raise _status_error(raw.response())
    return raw


async def open_stream(
    transport: httpx.AsyncBaseTransport, context: CallContext[httpx.Response], headers: Headers
) -> httpx.Response:
    """The exchange of a stream: send the request and read the head; the body is still to be read.

    Raises `httpx.HTTPStatusError` unless the status is 2xx.
    """
    request = _httpx_request(context, headers)
    response = await transport.handle_async_request(request)
    # httpx's own client sets it, too: a transport need not.
    response.request = request
    if not response.is_success:
        await response.aclose()
        raise _status_error(response)
    return response


async def _read(
    transport: httpx.AsyncBaseTransport, context: CallContext[RawResponse], headers: Headers
) -> RawResponse:
    """Send and read through any httpx transport, such as `httpx.MockTransport` in a test."""
    request = _httpx_request(context, headers)
    response = await transport.handle_async_request(request)
    try:
        body = await response.aread()
    finally:
        await response.aclose()

    method, url = context.request.method, context.request.url
    return RawResponse(method, url, response.status_code, response.headers.raw, body)


def _httpx_request(context: CallContext[R], headers: Headers) -> httpx.Request:
    body = context.request.body
    return httpx.Request(
        context.request.method,
        str(context.request.url),
        headers=headers,
        content=body.pieces() if isinstance(body, Upload) else body,
        extensions={"max_bytes": context.max_bytes},
    )


def _status_error(response: httpx.Response) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError(
        f"HTTP {response.status_code}", request=response.request, response=response
    )
