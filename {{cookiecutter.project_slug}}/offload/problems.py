"""One shape for every error a caller sees: `application/problem+json`, RFC 9457."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.client import responses
from typing import Any

from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Problem(Exception):
    """An answer that is an error, with a sentence the caller can act on.

    Args:
        status: the HTTP status, 400 to 599.
        detail: what is wrong and what to do, in a sentence.
        headers: extra response headers, such as `Retry-After` (seconds, as text).
        members: further members of the JSON body, such as `sources` (RFC 9457 section 3.2).
    """

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def body(self) -> bytes:
        """The JSON document: `type`, `title`, `status`, `detail` and the extension members."""
        # Django's words for it.
        title = responses.get(self.status, "Unknown Status Code")
        document = {
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        return json.dumps(document | self.members, default=str).encode()

    def response(self) -> HttpResponse:
        """The same as a Django response, for views and middleware."""
        return HttpResponse(
            self.body(), status=self.status, content_type=CONTENT_TYPE, headers=self.headers
        )

    async def send(self, send: Send) -> None:
        """The same as bare ASGI messages, for what answers before Django is reached."""
        body = self.body()
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))} | self.headers
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})
