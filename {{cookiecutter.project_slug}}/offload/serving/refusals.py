"""Answers what is refused before Django sees it: a `Problem` is sent without Django."""

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from time import perf_counter

from offload.problems import Problem
from offload.serving.methods import method_label
from offload.serving.metrics import REQUESTS
from offload.serving.middleware.access_log import log_refusal
from offload.serving.middleware.request_ids import choose_request_id
from offload.serving.middleware.security_headers import plain_headers
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# The route of a refused request in the metrics.
REFUSED_ROUTE = "refused"
# After these the rest of the request's body is not read, so the connection cannot be kept.
CLOSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


async def send_problem(problem: Problem, send: Send, request_id: str) -> None:
    """Send a problem as ASGI messages."""
    body = problem.body()
    headers = _headers(problem, body, request_id)
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def deny_websocket(problem: Problem, send: Send, request_id: str) -> None:
    """Send a problem in place of a WebSocket (ASGI, "WebSocket Denial Response")."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await send_problem(problem, send_denial, request_id)


def raw_refusal(problem: Problem, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer to a request that could not be read, as bytes. The connection is closed after it.

    Args:
        default_headers: those that the server adds to each response, such as `date`.
    """
    body = problem.body()
    headers = _headers(problem, body, choose_request_id("")) | {"Connection": "close"}
    lines = [b"HTTP/1.1 %d %b" % (problem.status, HTTPStatus(problem.status).phrase.encode())]
    lines += [b"%b: %b" % header for header in default_headers]
    lines += [f"{name.lower()}: {value}".encode("latin-1") for name, value in headers.items()]
    return b"\r\n".join([*lines, b"", body])


def _headers(problem: Problem, body: bytes, request_id: str) -> dict[str, str]:
    headers = problem.response_headers() | plain_headers()
    if problem.status in CLOSING:
        headers["Connection"] = "close"
    return headers | {"X-Request-ID": request_id, "Content-Length": str(len(body))}


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
