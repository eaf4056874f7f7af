"""httpx's requests, responses and exceptions over aiohttp's connections, with each error called
what it is.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import cache

import aiohttp
from yarl import URL

from .answer import Answer, Headers
from .errors import TooLarge
from .http import httpx

# By aiohttp, in bounded steps: no bomb unfolds in memory.
DECODED = frozenset({"gzip", "deflate", "br", "zstd"})


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One upstream's pool of connections; open it inside the event loop that uses it.

    httpx's own pool costs 17 ms CPU a call at 320 in flight against 0.6 (measured), and dies for
    good after cancelled requests under contention (httpcore #1093).
    """

    def __init__(
        self,
        *,
        connections: int,
        keepalive: float,
        connect_timeout: float,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keepalive, ssl=tls),
            # A cookie set for one caller must not be sent for the next.
            cookie_jar=aiohttp.DummyCookieJar(),
            # The caller bounds the whole exchange; only here, though, is it known that it was the
            # connection that hung.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout),
            middlewares=(_once,),
        )

    async def fetch(
        self, method: str, url: URL, headers: Headers, body: bytes | None, limit: int
    ) -> Answer:
        """Send a request, once, and read the answer: the short way, without httpx's objects."""
        found = await self._send(method, url, headers, body)
        try:
            content = b"".join([chunk async for chunk in _chunks(found, limit)])
        finally:
            # Closes the connection, unless the body was read to its end and it went back to the
            # pool.
            found.close()
        return Answer(method, url, found.status, list(found.raw_headers), content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, once; the body is still to be read, "max_bytes" among the extensions
        being its limit.
        """
        found = await self._send(
            request.method,
            URL(str(request.url), encoded=True),
            request.headers.multi_items(),
            request.content,
        )
        headers = list(found.raw_headers)
        if found.headers.get("Content-Encoding", "").lower() in DECODED:
            headers = [
                (k, v)
                for k, v in headers
                if k.lower() not in (b"content-encoding", b"content-length")
            ]
        body = _Body(found, request.extensions.get("max_bytes"))
        return httpx.Response(found.status, headers=headers, stream=body, request=request)

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
    def __init__(self, found: aiohttp.ClientResponse, limit: int | None) -> None:
        self._found = found
        self._limit = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _chunks(self._found, self._limit)

    async def aclose(self) -> None:
        self._found.close()


async def _chunks(found: aiohttp.ClientResponse, limit: int | None) -> AsyncIterator[bytes]:
    """The decoded body as it comes in; raises `TooLarge` where it exceeds the limit."""
    size = 0
    try:
        async for chunk in found.content.iter_any():
            size += len(chunk)
            if limit is not None and size > limit:
                raise TooLarge(f"The answer is larger than {limit} bytes.")
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise _true(error) from error


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once. aiohttp itself sends a GET again, unasked, when a kept connection turns
    out closed; an error it does not know as its own stops that, and retries stay where they are
    counted.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        raise _true(error) from error


def _true(error: Exception) -> httpx.TransportError:
    """The httpx exception for what really happened.

    Only `ConnectError` and `ConnectTimeout` promise that nothing was sent. (The httpx-aiohttp
    adapter calls a refused connection, a full pool and a POST that the server read and dropped all
    `ConnectTimeout`.)
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx.ConnectTimeout("No connection within the time for it.")
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            return httpx.ConnectError(f"No connection: {error}")
        case aiohttp.ServerDisconnectedError():
            return httpx.RemoteProtocolError(
                "The upstream closed the connection without an answer."
            )
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return httpx.RemoteProtocolError(f"Not a whole HTTP answer: {error}")
        case _:
            return httpx.ReadError(f"The connection broke: {error}")


@cache
def _make_tls(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


async def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The TLS context, made once for each CA file, and in a thread: reading the certificates takes
    some 40 ms.
    """
    return await asyncio.to_thread(_make_tls, ca_file)
