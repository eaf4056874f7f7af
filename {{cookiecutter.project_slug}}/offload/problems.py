"""One shape for every error a caller sees: `application/problem+json`, RFC 9457."""

import json
from http.client import responses
from typing import Any

from django.http import HttpResponse

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An error that the caller is answered, with a sentence that tells the caller what to do.

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
        title = responses.get(self.status, "Unknown Status Code")
        document = {
            "type": "about:blank",
            "title": title,
            "status": self.status,
            "detail": self.detail,
        }
        return json.dumps(document | self.members, default=str).encode()

    def response(self) -> HttpResponse:
        """This problem as a Django response, for views and middleware."""
        return HttpResponse(self.body(), status=self.status, headers=self.response_headers())

    def response_headers(self) -> dict[str, str]:
        """The headers of the response."""
        return {"Content-Type": CONTENT_TYPE} | self.headers
