"""Refuses a `Content-Type` that takes long to parse, or cannot be parsed."""

from collections.abc import Awaitable, Sequence

from offload.problems import Problem
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send

# The longest that a client sends has some 100: a form's, whose boundary has up to 70.
MAX_CONTENT_TYPE_BYTES = 256


class ContentTypeCheck:
    """Checks the header before Django parses it, which it does for each request.

    Django has the standard library do it, whose time grows with the square of the length in some
    versions: 63,000 semicolons in quotes stop the event loop for 13 s (Python 3.11.7). And a
    parameter in an unknown encoding (`name*=`, RFC 2231) is an exception that Django does not
    answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request.

        This layer only looks at the head, so it needs no coroutine of its own (0.2 us).

        Raises:
            Problem: 400, at once.
        """
        state: RequestState = scope[REQUEST_STATE]
        if b"content-type" in state.headers:
            check_content_type(scope["headers"])
        return self.app(scope, receive, send)


def check_content_type(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse a `Content-Type` that is too long, or has a parameter in an encoding.

    Raises:
        Problem: 400.
    """
    # Django joins several of them.
    content_type = b",".join(value for name, value in headers if name == b"content-type")
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise Problem(
            400,
            f"The Content-Type is longer than {MAX_CONTENT_TYPE_BYTES} bytes: send a short one.",
        )
    if b"*" in content_type:
        raise Problem(
            400, "The Content-Type has an asterisk, which no parameter needs: leave it out."
        )
