"""Django behind the outer application: one handler a middleware chain, and a request path that
costs little.

What it leans on in Django, and how a break would show: docs/decisions/0001-lean-request-path.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.cache import close_caches
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.dispatch import Signal
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.urls import set_script_prefix
from django.utils.log import log_response

from offload.serving.disconnect import until_disconnect
from offload.serving.exchange import admitted
from offload.serving.threads import RequestThread, ThreadPool, current, release
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# Django's own receivers of the two signals: they tidy up a thread, so they run around one that was
# used, and else not.
BUILT_IN = {reset_queries, close_old_connections, close_caches, reset_urlconf}


def chain(middleware: Sequence[str], pool: ThreadPool | None) -> ASGIApp:
    """A handler with this list of middleware; without a pool, almost Django's stock one.

    Django's handlers read `settings.MIDDLEWARE`, once, when they are built.
    """
    pages = settings.MIDDLEWARE
    settings.MIDDLEWARE = list(middleware)
    try:
        return LeanHandler(pool) if pool else Handler()
    finally:
        settings.MIDDLEWARE = pages


class Handler(ASGIHandler):
    """Django's handler, that refuses a stream too many inside of the middleware, which records what
    is answered.
    """

    async def _get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return admitted(request, await super()._get_response_async(request))  # type: ignore[misc]


class LeanHandler(Handler):
    """Django's handler with a thread only where one is used, and a task to watch the client only
    where a view waits.
    """

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self.pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        thread = RequestThread(self.pool)
        before = current.set(thread)
        # What `async with` would do, less its checks: the server gives each request a fresh
        # context.
        context = ThreadSensitiveContext(executor=thread)
        context_before = SyncToAsync.thread_sensitive_context.set(context)
        SyncToAsync.context_to_thread_executor[context] = thread
        try:
            await self._answer(scope, receive, send, thread)
        finally:
            # A task that outlives its request is told so.
            context._exited = True
            # A test's client has no fresh one.
            SyncToAsync.thread_sensitive_context.reset(context_before)
            current.reset(before)
            thread.close()

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, thread: RequestThread
    ) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        # Each request has a context of its own, where "/" holds.
        if prefix := get_script_prefix(scope):
            set_script_prefix(prefix)
        await _signal(request_started, scope=scope)
        # By a receiver, and the view may not need it.
        if thread.borrowed:
            await release()
        request, response = self.create_request(scope, body)

        async def respond() -> None:
            nonlocal response
            # Else the response says what is wrong with it.
            if request is not None:
                response = await self.run_get_response(request)
            assert response is not None
            await self.send_response(response, send)

        try:
            await until_disconnect(respond(), receive)
        finally:
            await self._finish(request, response, thread)
            body.close()

    async def _finish(
        self, request: ASGIRequest | None, response: Any, thread: RequestThread
    ) -> None:
        """Close the answer; in a thread where one was used or closing may block, as Django always
        does.
        """
        if response is None:
            if thread.borrowed:
                await request_finished.asend(sender=ASGIHandler)
            else:
                await _signal(request_finished)
        elif thread.borrowed or not _is_plain(request, response):
            # The sender of `request_finished`.
            response._handler_class = ASGIHandler
            await sync_to_async(response.close)()
        else:
            response._resource_closers.clear()
            response.closed = True
            await _signal(request_finished)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """As Django's, less `set_urlconf`: in a request's fresh context nobody has set another."""
        response: Any = await self._middleware_chain(request)  # type: ignore[attr-defined]  # the stubs leave it out
        response._resource_closers.append(request.close)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            # A handler may send mail.
            log = sync_to_async(log_response, thread_sensitive=False)
            await log(
                "%s: %s", response.reason_phrase, request.path, response=response, request=request
            )
        answer: HttpResponseBase = response
        return answer

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """The body; in memory if it came in one piece, else as Django does, which may write it to
        disk.
        """
        first = await receive()
        if first["type"] == "http.request" and not first.get("more_body", False):
            return BytesIO(first.get("body", b""))
        waiting = [first]

        async def receive_again() -> Message:
            return waiting.pop() if waiting else await receive()

        return await super().read_body(receive_again)

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """Send the answer: whole ones in two messages, streams as Django does, without a thread
        while they wait.
        """
        if response.streaming:
            # One that goes on with a query that its view began has to keep its thread.
            with suppress(RuntimeError):
                await release()
        if not isinstance(response, HttpResponse) or response.cookies:
            await super().send_response(response, send)
            return
        body = response.content
        headers = [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, value in response.headers._store.values()
        ]
        # CommonMiddleware's job, which the API chain goes without. A 204 has no length, a 304 that
        # of another answer.
        if "content-length" not in response.headers._store and response.status_code not in (
            204,
            304,
        ):
            headers.append((b"Content-Length", b"%d" % len(body)))
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})


def _is_plain(request: ASGIRequest | None, response: Any) -> bool:
    """Whether closing this answer only drops memory: no file, no upload, nothing that somebody
    registered.
    """
    return (
        request is not None
        and type(response).close is HttpResponseBase.close
        and response._resource_closers == [request.close]
        and not hasattr(request, "_files")
        and isinstance(request._stream, BytesIO)
    )


# Receivers that were found to be Django's own alone: comparing the lists costs a fifth of asking
# the signal.
_QUIET: dict[Signal, list[Any]] = {}


async def _signal(signal: Signal, **named: Any) -> None:
    """Send a signal to everybody's receivers but Django's own."""
    if signal.receivers == _QUIET.get(signal):
        return
    blocking, waiting = signal._live_receivers(ASGIHandler)
    if not waiting and BUILT_IN.issuperset(blocking):
        _QUIET[signal] = signal.receivers.copy()
    else:
        theirs = [receiver for receiver in blocking if receiver not in BUILT_IN]
        if theirs:
            await sync_to_async(_call)(theirs, signal=signal, sender=ASGIHandler, **named)
        # offload: allow OFF401: one for each receiver that the service has connected, as Django's
        # own asend does
        await asyncio.gather(
            *(receiver(signal=signal, sender=ASGIHandler, **named) for receiver in waiting)
        )


def _call(receivers: Sequence[Callable[..., object]], **named: Any) -> None:
    for receiver in receivers:
        receiver(**named)
