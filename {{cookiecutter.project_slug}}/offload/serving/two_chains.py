"""Which of the two chains of middleware answers a request, by its path."""

from collections.abc import Awaitable

from offload.serving.paths import PathPrefixes
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send


class TwoChains:
    """Sends a request through the API's middleware, or through Django's full stack.

    Args:
        api: what answers the paths that begin with one of `api_prefixes`.
        pages: what answers all other paths.
    """

    def __init__(self, api: ASGIApp, pages: ASGIApp, *, api_prefixes: tuple[str, ...]) -> None:
        self.api = api
        self.pages = pages
        self.api_paths = PathPrefixes(api_prefixes)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, without a coroutine of its own (0.2 us)."""
        state: RequestState = scope[REQUEST_STATE]
        chain = self.api if self.api_paths.match(state.path) else self.pages
        return chain(scope, receive, send)
