"""Refuses requests with a method that no view serves."""

from collections.abc import Awaitable

from offload.problems import Problem
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send

# The methods of HTTP (RFC 9110, RFC 5789) without CONNECT, which is for proxies, and TRACE, which
# shows a browser's secret headers to its scripts.
SERVED_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The methods that change nothing (RFC 9110, section 9.2.1).
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
PROBE_METHODS = frozenset({"GET", "HEAD"})


class MethodCheck:
    """Answers 405 to TRACE, PROPFIND and whatever else a parser accepts; of a probe to POST, too.

    A view of Django that does not ask for the method would answer them all.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request.

        This layer only looks at the head, so it needs no coroutine of its own (0.2 us).

        Raises:
            Problem: 405, at once.
        """
        state: RequestState = scope[REQUEST_STATE]
        served = PROBE_METHODS if state.is_probe else SERVED_METHODS
        if scope["method"] not in served:
            allowed = ", ".join(sorted(served))
            raise Problem(405, f"This address takes {allowed}.", headers={"Allow": allowed})
        return self.app(scope, receive, send)


def method_label(method: str) -> str:
    """The method as a metric's label. Clients could make as many series as a parser has methods.

    OpenTelemetry calls the others `_OTHER`, too.
    """
    return method if method in SERVED_METHODS else "_OTHER"
