"""Refuses a `Content-Type` or a `Cookie` that takes long to parse, or cannot be parsed."""

from collections.abc import Awaitable, Sequence

from offload.problems import Problem
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send

# The longest that a client sends has some 100: a form's, whose boundary has up to 70.
MAX_CONTENT_TYPE_BYTES = 256
# The backslashes of all cookies times their bytes: each costs a search through what follows. This
# many take 60 ms. Django's largest cookie of messages has 400 in 3 kB: a million.
MAX_COOKIE_STEPS = 4_000_000


class CostlyHeaders:
    """Checks two headers before Django parses them, which it does without a login.

    Django has the standard library do it, whose time grows with the square of the length in some
    versions (Python 3.11.7: 63,000 semicolons in quotes, or 31,000 quotes in a cookie, stop the
    event loop for 13 s). And a parameter in an unknown encoding (`name*=`, RFC 2231) is an
    exception that Django does not answer.
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
        if b"content-type" in state.headers or b"cookie" in state.headers:
            check_costly_headers(scope["headers"])
        return self.app(scope, receive, send)


def check_costly_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Refuse what takes long to parse, or cannot be parsed.

    Raises:
        Problem: 400.
    """
    content_type = _joined(headers, b"content-type")
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise Problem(
            400,
            f"The Content-Type is longer than {MAX_CONTENT_TYPE_BYTES} bytes: send a short one.",
        )
    if b"*" in content_type:
        raise Problem(
            400, "The Content-Type has an asterisk, which no parameter needs: leave it out."
        )

    cookies = _joined(headers, b"cookie")
    if cookies.count(b"\\") * len(cookies) > MAX_COOKIE_STEPS:
        raise Problem(400, "The Cookie has too many backslashes: send fewer.")


def _joined(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The values of a header, which Django joins, too."""
    return b",".join([value for each, value in headers if each == name])
