"""Transport: httpx's requests, responses and exceptions over aiohttp's connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import cache

import aiohttp
from yarl import URL

from .errors import TooLarge
from .http import httpx
from .raw_response import RawResponse
from .request import Headers
from .resolver import UpstreamResolver

# The encodings that aiohttp decodes. It does so in bounded steps, so that a decompression bomb
# cannot fill the memory.
DECODED_ENCODINGS = frozenset({"gzip", "deflate", "br", "zstd"})


class AiohttpTransport(httpx.AsyncBaseTransport):
    """The connection pool of one upstream. Make it inside the event loop that uses it.

    httpx's own pool costs 17 ms of CPU a call with 320 calls in flight, this one 0.6 ms
    (measured). httpx's pool also hands out no connection for good after requests were cancelled
    under contention (httpcore #1093).

    Args:
        max_connections: as many as the bulkhead has slots, so that no call waits here.
        keepalive: seconds after which an idle connection is closed.
        connect_timeout: seconds to look the name up, and seconds to connect.
        tls: the TLS context; `True` is aiohttp's own.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        keepalive: float,
        connect_timeout: float,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=max_connections,
                keepalive_timeout=keepalive,
                ssl=tls,
                resolver=UpstreamResolver(connect_timeout),
                # The resolver keeps the addresses.
                use_dns_cache=False,
            ),
            # A cookie set for one caller must not be sent for the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            # The pipeline bounds the whole exchange. The time for the connection is bounded here,
            # because only here a hanging connection can be told from a slow response.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
            middlewares=(_no_hidden_resend,),
        )

    async def fetch(
        self, method: str, url: URL, headers: Headers, body: bytes | None, limit: int
    ) -> RawResponse:
        """Send a request once and read the response, of `limit` bytes at most.

        httpx's objects are not made on this way. Raises `TooLarge` and httpx's transport errors.
        """
        response = await self._send(method, url, headers, body)
        try:
            content = b"".join([chunk async for chunk in _chunks(response, limit)])
        finally:
            # Closes the connection, unless the body was read to its end: then the connection is in
            # the pool again.
            response.close()
        return RawResponse(method, url, response.status, list(response.raw_headers), content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and read the head of the response; the body is still to be read.

        The extension "max_bytes" of the request is the limit of the body.
        """
        response = await self._send(
            request.method,
            URL(str(request.url), encoded=True),
            request.headers.multi_items(),
            request.content,
        )
        headers = list(response.raw_headers)
        if response.headers.get("Content-Encoding", "").lower() in DECODED_ENCODINGS:
            headers = [
                (k, v)
                for k, v in headers
                if k.lower() not in (b"content-encoding", b"content-length")
            ]
        body = _Body(response, request.extensions.get("max_bytes"))
        return httpx.Response(response.status, headers=headers, stream=body, request=request)

    async def _send(
        self, method: str, url: URL, headers: Headers, body: bytes | None
    ) -> aiohttp.ClientResponse:
        return await self._session.request(
            method,
            url,
            headers=headers,
            data=body or None,
            # A redirect could lead anywhere, into the private network too.
            allow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse, limit: int | None) -> None:
        self._found = response
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _chunks(self._found, self._limit)

    async def aclose(self) -> None:
        self._found.close()


async def _chunks(response: aiohttp.ClientResponse, limit: int | None) -> AsyncIterator[bytes]:
    """The decoded body, piece by piece; raises `TooLarge` if it has more bytes than `limit`."""
    size = 0
    try:
        while chunk := await response.content.readany():
            size += len(chunk)
            if limit is not None and size > limit:
                raise TooLarge(f"The body is larger than max_bytes ({limit} bytes).")
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise map_aiohttp_exception(error) from error


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET a second time when a kept connection turns out to be closed.

    aiohttp does so only after an error of its own type. This middleware raises httpx's exceptions
    instead; retries stay in `retry.py`, where they are counted.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise map_aiohttp_exception(error) from error


def map_aiohttp_exception(error: Exception) -> httpx.TransportError:
    """The httpx exception for what happened.

    Only `ConnectError` and `ConnectTimeout` mean that nothing was sent. (The httpx-aiohttp adapter
    raises `ConnectTimeout` for a refused connection, for a full pool, and for a POST that the
    server read and dropped.)
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("No connection within the time for it.")
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            return httpx.ConnectError(f"No connection: {error}")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError(
                "The upstream closed the connection without a response."
            )
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(f"Not a whole HTTP response: {error}")
        case _:
            return httpx.ReadError(f"The connection broke: {error}")


@cache
def _make_tls_context(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


async def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The TLS context for a CA file; `None` is the system's certificates.

    It is made once, and in a thread, because reading the certificates takes some 40 ms.
    """
    return await asyncio.to_thread(_make_tls_context, ca_file)
