"""What an upstream answered, read whole: httpx's objects are made of it only where somebody wants
them.
"""

from dataclasses import dataclass

from yarl import URL

from .http import httpx

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """Status, headers and decoded body. An `httpx.Request` and `Response` for each call would cost
    a third of it.
    """

    method: str
    url: URL
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> httpx.Response:
        """The same for httpx's users, its body decoded and read."""
        # They told of the body in transit.
        gone = (b"content-encoding", b"content-length", b"transfer-encoding")
        kept = [(name, value) for name, value in self.headers if name.lower() not in gone]
        request = httpx.Request(self.method, str(self.url))
        return httpx.Response(self.status, headers=kept, content=self.body, request=request)


async def fetch(
    transport: httpx.AsyncBaseTransport,
    method: str,
    url: URL,
    headers: Headers,
    body: bytes | None,
    limit: int,
) -> Answer:
    """Send a request through any httpx transport and read the answer, of `limit` bytes at most."""
    request = httpx.Request(
        method, str(url), headers=headers, content=body, extensions={"max_bytes": limit}
    )
    response = await transport.handle_async_request(request)
    try:
        content = await response.aread()
    finally:
        await response.aclose()
    return Answer(method, url, response.status_code, response.headers.raw, content)
