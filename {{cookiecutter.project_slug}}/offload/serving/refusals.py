"""Answers a request that is refused before Django sees it."""

import asyncio
from time import perf_counter

from offload.problems import Problem
from offload.serving.methods import method_label
from offload.serving.metrics import REQUESTS
from offload.serving.middleware.access_log import log_refusal
from offload.serving.raw_refusals import send_problem
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.response_headers import choose_request_id
from offload.serving.types import ASGIApp, Receive, Scope, Send

# The route of a refused request in the metrics.
REFUSED_ROUTE = "refused"


class Refusals:
    """Sends the `Problem` that a layer below raises, and records the request.

    Django's middleware never sees these requests, so this layer does what it would: the request's
    id, the security headers, a line of the access log, the metrics. A problem that a running
    response raises cannot be sent any more: the server logs it and closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = perf_counter()
        try:
            await self.app(scope, receive, send)
        except Problem as problem:
            await self._refuse(problem, scope, send, begun)
        except asyncio.CancelledError:
            state: RequestState = scope[REQUEST_STATE]
            if state.early_end is None:
                raise
            # One of the layers has cancelled the request. The server is told nothing of it.
            state.accept_early_end()
            await self._refuse(state.early_end, scope, send, begun)

    async def _refuse(self, problem: Problem, scope: Scope, send: Send, begun: float) -> None:
        state: RequestState = scope[REQUEST_STATE]
        if state.response_started:
            raise problem
        request_id = choose_request_id(state.headers.get(b"x-request-id", b"").decode("latin-1"))
        await send_problem(problem, send, request_id)
        if not state.is_recorded:
            seconds = perf_counter() - begun
            client = (scope.get("client") or (None,))[0]
            log_refusal(scope["method"], scope["path"], problem, request_id, seconds, client)
            method = method_label(scope["method"])
            REQUESTS.labels(method, REFUSED_ROUTE, problem.status).observe(seconds)
