"""Asks who opens a WebSocket, before it is accepted: nobody holds one without a login."""

import logging
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from time import perf_counter
from typing import Any
from urllib.parse import quote

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from offload.access import BearerToken, SessionLogin
from offload.access.scopes import scopes_of
from offload.access.watched_logins import login_of
from offload.problems import Problem
from offload.serving.middleware import request_id
from offload.serving.middleware.recording import CLIENT_CLOSED_REQUEST
from offload.serving.raw_refusals import deny_websocket
from offload.serving.response_headers import choose_request_id
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send
from offload.serving.unavailable import unavailable
from offload.sockets.messages import CLOSE_STATUS, close_reason

logger = logging.getLogger("offload.access")

# The subprotocol that this service speaks.
PROTOCOL = "offload.v1"
# A browser can send no header with a WebSocket, but a list of subprotocols. One of them may be the
# token with this prefix. It is in no URL, and so in no log of a proxy.
TOKEN_PREFIX = "bearer."  # noqa: S105


class SocketLogin:
    """Lets in whoever the API would let in, by token or by session.

    The application inside finds in its scope `owner`, `login` (see `watched_logins.py`), `scopes`
    of the token, and `subprotocol`, which it accepts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.logins: tuple[Callable[[HttpRequest], Any], ...] = (BearerToken(), SessionLogin())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, and log it when it has ended."""
        begun = perf_counter()
        request = _opening_request(scope)
        request_id.set(choose_request_id(request.headers.get("X-Request-ID", "")))
        owner: str | None = None
        answer = _Answer(send)
        try:
            owner = await self._owner(request)
            accepted = PROTOCOL if PROTOCOL in scope["subprotocols"] else None
            found = {
                "owner": owner,
                "login": login_of(request),
                "scopes": scopes_of(request),
                "subprotocol": accepted,
            }
            await self.app(scope | found, receive, answer.send)
        except Exception as error:
            if not await answer.tell_error(error):
                answer.fail(error)
                raise
        finally:
            _log(request, answer.status, begun, owner)

    async def _owner(self, request: HttpRequest) -> str:
        """Who opens it.

        Raises:
            Problem: 401, 403 or 429.
        """
        for check in self.logins:
            checked = check(request)
            owner: str | None = None if checked is None else await checked
            if owner is not None:
                _check_origin(request)
                return owner
        raise Problem(
            401,
            f"send Authorization: Bearer <token>, or the subprotocols {PROTOCOL} and "
            f"{TOKEN_PREFIX}<token>, or log in",
            headers={"WWW-Authenticate": "Bearer"},
        )


class _Answer:
    """The answer to a handshake, for the log.

    Attributes:
        status: 101 is a WebSocket that was let in. Without any answer in time the server sends 503.
    """

    def __init__(self, send: Send) -> None:
        self.status = HTTPStatus.SERVICE_UNAVAILABLE.value
        self._send = send
        self._is_sent = self._is_closed = False

    async def send(self, message: Message) -> None:
        """Send a message. The first one is the answer."""
        await self._send(message)
        self._is_closed = message["type"] == "websocket.close"
        if self._is_sent:
            return

        self._is_sent = True
        if message["type"] == "websocket.accept":
            self.status = HTTPStatus.SWITCHING_PROTOCOLS.value
        else:
            # A problem instead of the WebSocket; or a close, which the server sends as a 403.
            self.status = message.get("status", HTTPStatus.FORBIDDEN.value)

    async def tell_error(self, error: Exception) -> bool:
        """Send the problem that an error means. False if it means none, and nothing was sent.

        A variable of the caller with the problem, to which the error leads, would keep the request
        until the garbage collector runs.
        """
        problem = unavailable(error)
        if problem is not None:
            await self.tell(problem)
        return problem is not None

    async def tell(self, problem: Problem) -> None:
        """Send a problem in place of the WebSocket, or close the one that is open."""
        if not self._is_sent:
            await deny_websocket(problem, self.send, request_id.get())
        elif not self._is_closed:
            code, reason = CLOSE_STATUS + problem.status, close_reason(problem.detail)
            # uvicorn's error for a client that has left is an OSError.
            with suppress(OSError):
                await self.send({"type": "websocket.close", "code": code, "reason": reason})

    def fail(self, error: Exception) -> None:
        """The application has failed. uvicorn's error for a client that has left is an OSError."""
        if not self._is_sent:
            has_left = isinstance(error, OSError)
            server_error = HTTPStatus.INTERNAL_SERVER_ERROR.value
            self.status = CLIENT_CLOSED_REQUEST if has_left else server_error


def _opening_request(scope: Scope) -> ASGIRequest:
    """The HTTP request that asks for the WebSocket, as the checks of the API read one."""
    scheme = "https" if scope["scheme"] == "wss" else "http"
    http = {**scope, "type": "http", "method": "GET", "scheme": scheme}
    request = ASGIRequest(http, BytesIO())
    for each in scope["subprotocols"]:
        if each.startswith(TOKEN_PREFIX):
            request.META["HTTP_AUTHORIZATION"] = f"Bearer {each.removeprefix(TOKEN_PREFIX)}"
    return request


def _check_origin(request: HttpRequest) -> None:
    """Refuse a page of a foreign origin that has not got the login from its user.

    No same-origin policy and no CSRF token protects a WebSocket. Three cases:
    1. A token is sent by nobody but the page that has it.
    2. The browser sends a session's cookie for any page. It sends the page's origin, too.
    3. Everybody knows the token of development, also a foreign page that a developer looks at. What
       is no browser sends no origin.

    Raises:
        Problem: 403.
    """
    login = login_of(request)
    if login is not None and login.kind == "token":
        return
    if login is None and "HTTP_ORIGIN" not in request.META:
        return
    check: Any = CsrfViewMiddleware(lambda request: HttpResponse())
    if "HTTP_ORIGIN" not in request.META or not check._origin_verified(request):  # noqa: SLF001
        raise Problem(
            403,
            "A session, and the token of development, are taken from pages of this service alone: "
            "the Origin is another one. CSRF_TRUSTED_ORIGINS lists more.",
        )


def _log(request: HttpRequest, status: int, begun: float, owner: str | None = None) -> None:
    """One line, as for a request; 101 is a WebSocket that was let in."""
    path = quote(request.path)
    facts = {
        "method": "WEBSOCKET",
        "path": path,
        "status": status,
        "ms": round((perf_counter() - begun) * 1000, 2),
        "request_id": request_id.get(),
        "client": request.META.get("REMOTE_ADDR"),
        "owner": owner,
    }
    logger.info("WEBSOCKET %s %d", path, status, extra=facts)
