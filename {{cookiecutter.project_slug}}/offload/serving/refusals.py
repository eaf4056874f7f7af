"""Answers a request that one of the layers refuses."""

from offload.problems import Problem
from offload.serving.middleware.access_log import log_refusal
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Receive, Scope, Send


class Refusals:
    """Sends the `Problem` that a layer below raises, and writes its line of the access log.

    Django's middleware never sees these requests. A problem that a running response raises cannot
    be sent any more: the server logs it and closes the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self.app(scope, receive, send)
        except Problem as problem:
            state: RequestState = scope[REQUEST_STATE]
            if state.response_started:
                raise
            client = (scope.get("client") or (None,))[0]
            log_refusal(scope["method"], scope["path"], problem, client)
            await send_problem(problem, send)


async def send_problem(problem: Problem, send: Send) -> None:
    """Send a problem as ASGI messages."""
    body = problem.body()
    headers = problem.response_headers() | {"Content-Length": str(len(body))}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
