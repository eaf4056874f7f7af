"""The bytes and messages of a refusal: a `Problem` that is sent without Django."""

from collections.abc import Iterable
from http import HTTPStatus

from offload.problems import Problem
from offload.serving.response_headers import choose_request_id, plain_headers
from offload.serving.types import Message, Send

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
