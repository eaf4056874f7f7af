"""A response that was read whole."""

from codecs import BOM_UTF8
from dataclasses import dataclass

from pydantic import ValidationError
from yarl import URL

from offload.validation_faults import faults_of

from .errors import Undecodable
from .http import httpx

# Headers that describe the body in transit. They no longer fit the decoded body.
_TRANSIT_HEADERS = (b"content-encoding", b"content-length", b"transfer-encoding")


@dataclass(slots=True)
class RawResponse:
    """Status, headers and decoded body.

    An `httpx.Request` and an `httpx.Response` for every call would add a third to the CPU of a
    call (docs/decisions/0002 of the template). They are made only for callers that ask for them.
    """

    method: str
    url: URL
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def response(self) -> httpx.Response:
        """The same response as an `httpx.Response`, its body decoded and read."""
        kept = [each for each in self.headers if each[0].lower() not in _TRANSIT_HEADERS]
        request = httpx.Request(self.method, str(self.url))
        return httpx.Response(self.status, headers=kept, content=self.body, request=request)

    @property
    def json(self) -> bytes:
        """The body without a byte order mark, which some servers send (RFC 8259, section 8.1)."""
        return self.body.removeprefix(BOM_UTF8)

    def undecodable(self, cause: ValueError) -> Undecodable:
        """The failure of a call. A log line or traceback of it must not have what was read."""
        size = len(self.body)
        if isinstance(cause, ValidationError):
            return Undecodable(f"{size} bytes that could not be read: {faults_of(cause)}")
        error = Undecodable(f"{size} bytes that could not be read: {cause}")
        error.__cause__ = cause
        return error
