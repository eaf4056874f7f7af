"""Transport: httpx's requests, responses and exceptions over aiohttp's connections."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import aiohttp
from yarl import URL

from .aiohttp_errors import map_aiohttp_exception
from .decoding import Decoder, decoder_for
from .errors import TooLarge
from .http import httpx
from .raw_response import RawResponse
from .request import Headers
from .sessions import ConnectionSettings, Generation, Sessions
from .upload import Upload

# After this time of decoding, the loop serves others, and then the rest is decoded.
DECODE_SECONDS = 0.002
# httpx has the standard library parse the header where a caller reads text. In some versions its
# time grows with the square of the length: 64 kB in 8 headers stopped the loop for 28 s.
MAX_CONTENT_TYPE_CHARACTERS = 256


class AiohttpTransport(httpx.AsyncBaseTransport):
    """The connection pool of one upstream. Make it inside the event loop that uses it.

    httpx's own pool costs 17 ms of CPU a call with 320 calls in flight, this one 0.6 ms
    (measured). httpx's pool also hands out no connection for good after requests were cancelled
    under contention (httpcore #1093).

    Args:
        settings: how connections are made and kept.
        tls: the TLS context of an https upstream; `None` is aiohttp's own.
    """

    def __init__(self, settings: ConnectionSettings, tls: ssl.SSLContext | None = None) -> None:
        self._sessions = Sessions(settings, tls)

    async def fetch(
        self, method: str, url: URL, headers: Headers, body: bytes | Upload | None, limit: int
    ) -> RawResponse:
        """Send a request once and read the response, of `limit` bytes at most.

        httpx's objects are not made on this way. Raises `TooLarge` and httpx's transport errors.
        """
        if monotonic() >= self._sessions.renew_at:
            await self._sessions.renew()
        generation = self._sessions.enter()
        try:
            response = await _send(generation, method, url, headers, body)
            try:
                content = await _BodyReader(response, limit).whole()
            finally:
                # Closes the connection, unless the body was read to its end: then the connection is
                # in the pool again.
                response.close()
        finally:
            generation.leave()
        return RawResponse(method, url, response.status, list(response.raw_headers), content)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and read the head of the response; the body is still to be read.

        The extension "max_bytes" of the request is the limit of the body.
        """
        if monotonic() >= self._sessions.renew_at:
            await self._sessions.renew()
        generation = self._sessions.enter()
        try:
            response = await _send(
                generation,
                request.method,
                URL(str(request.url), encoded=True),
                request.headers.multi_items(),
                request.content,
            )
        except BaseException:
            generation.leave()
            raise

        headers = list(response.raw_headers)
        if _decoder(response):
            # Else httpx would decode it again.
            headers = [
                (name, value)
                for name, value in headers
                if name.lower() not in (b"content-encoding", b"content-length")
            ]
        body = _Body(generation, response, request.extensions.get("max_bytes"))
        return httpx.Response(response.status, headers=headers, stream=body, request=request)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._sessions.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of a stream's response, in pieces. It keeps its generation of connections open."""

    def __init__(
        self, generation: Generation, response: aiohttp.ClientResponse, limit: int | None
    ) -> None:
        self._generation: Generation | None = generation
        self._response = response
        self._reader = _BodyReader(response, limit)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self._reader.read():
            yield piece

    async def aclose(self) -> None:
        self._response.close()
        if self._generation:
            self._generation.leave()
            self._generation = None


async def _send(
    generation: Generation, method: str, url: URL, headers: Headers, body: bytes | Upload | None
) -> aiohttp.ClientResponse:
    try:
        response = await generation.session.request(
            method,
            url,
            headers=headers,
            data=body.pieces() if isinstance(body, Upload) else body or None,
            # A redirect could lead anywhere, into the private network too.
            allow_redirects=False,
        )
    except (aiohttp.ClientError, OSError) as error:
        raise map_aiohttp_exception(error) from error
    if sum(map(len, response.headers.getall("Content-Type", ()))) > MAX_CONTENT_TYPE_CHARACTERS:
        response.close()
        raise httpx.RemoteProtocolError("Not an HTTP response: its Content-Type is too long")
    return response


class _BodyReader:
    """Reads the body of one response, decoded, piece by piece.

    Args:
        response: whose head was read.
        limit: bytes that the body may have; `None` is any number.
    """

    def __init__(self, response: aiohttp.ClientResponse, limit: int | None) -> None:
        self._content = response.content
        self._limit = limit
        self._size = 0
        self._decoder = _decoder(response)
        self._decoded: Iterator[bytes] = iter(())
        self._decodes_until = monotonic() + DECODE_SECONDS

    async def whole(self) -> bytes:
        """The body to its end; raises `TooLarge` and httpx's transport errors."""
        pieces = []
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    async def read(self) -> bytes:
        """The next piece, nothing at the end; raises `TooLarge` and httpx's transport errors."""
        piece = await (self._decode(self._decoder) if self._decoder else self._receive())
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            raise TooLarge(f"The body is larger than max_bytes ({self._limit} bytes).")
        return piece

    async def _receive(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise map_aiohttp_exception(error) from error

    async def _decode(self, decoder: Decoder) -> bytes:
        while True:
            for piece in self._decoded:
                if monotonic() > self._decodes_until:
                    await asyncio.sleep(0)
                    self._decodes_until = monotonic() + DECODE_SECONDS
                if piece:
                    return piece

            received = await self._receive()
            if not received:
                decoder.end()
                return b""
            self._decoded = decoder.decode(received)


def _decoder(response: aiohttp.ClientResponse) -> Decoder | None:
    if "Content-Encoding" not in response.headers:
        return None
    return decoder_for(response.headers.getall("Content-Encoding"))
