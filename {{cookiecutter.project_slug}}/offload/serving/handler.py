"""Django's handler behind the layers of `application.py`: one for each chain of middleware.

It uses private names of Django and asgiref, whose versions `requirements/` pins.
"""

import codecs
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.signals import request_finished, request_started
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.urls import set_script_prefix
from django.utils.log import log_response

from offload.conf import conf
from offload.problems import Problem
from offload.serving.disconnect import cancel_on_disconnect
from offload.serving.fast import header_stores
from offload.serving.file_threads import read_in_pieces
from offload.serving.form_request import FormRequest
from offload.serving.loop_turns import with_loop_turns
from offload.serving.request_state import REQUEST_STATE, RequestState, state_of
from offload.serving.request_thread import RequestThread, release
from offload.serving.signals import ForeignReceivers
from offload.serving.thread_pool import ThreadPool
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send
from offload.serving.unavailable import unavailable
from offload.serving.without_content import (
    ENDS_WITH_HEAD,
    refuse_interim_status,
    without_forbidden_content,
)

# Django's log of each 4xx needs this codec, which Python reads from a file at its first use. Where
# no file can be opened then, Python remembers that there is no such codec: each 404 was a 500 from
# then on, until the process was started again.
codecs.lookup("unicode_escape")

EVENT_STREAM = "text/event-stream"


def build_handler(middleware: Sequence[str], pool: ThreadPool | None) -> ASGIApp:
    """A handler with this list of middleware: the lean one if there is a pool of threads.

    Django's handlers read `settings.MIDDLEWARE` once, when they are built.
    """
    pages_middleware = settings.MIDDLEWARE
    settings.MIDDLEWARE = list(middleware)
    try:
        return LeanHandler(pool) if pool else Handler()
    finally:
        settings.MIDDLEWARE = pages_middleware


class Handler(ASGIHandler):
    """Django's stock handler, which also says that a response is an event stream."""

    request_class = FormRequest

    async def _get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The view's response. It is checked here, so that middleware records what is sent."""
        try:
            answered = super()._get_response_async(request)  # type: ignore[misc]
            response: HttpResponseBase = await answered
        except (Problem, DatabaseError, InterfaceError) as error:
            # Django would answer 500, and log a traceback.
            problem = unavailable(error)
            if problem is None:
                raise
            return unlogged(problem)
        refuse_interim_status(response)
        return admit_stream(request, response)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """The response after all middleware, which may have made a stream that no view made."""
        response = admit_stream(request, await super().get_response_async(request))
        return without_forbidden_content(request, response)

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """Send the response as Django does; a streamed one leaves the loop to others, too."""
        if response.streaming:
            read_in_pieces(response)
            send = with_loop_turns(send)
        await super().send_response(response, send)


def admit_stream(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response, or a 503 in its place if it is an event stream too many."""
    if not response.streaming:
        return response
    if not response.headers.get("Content-Type", "").startswith(EVENT_STREAM):
        return response

    state = state_of(request)
    try:
        if state is not None:
            state.declare_event_stream()
    except Problem as problem:
        refusal = unlogged(problem)
        refusal._resource_closers += response._resource_closers  # type: ignore[attr-defined]
        return refusal
    return response


def unlogged(problem: Problem) -> HttpResponse:
    """The response of a problem, marked so that Django does not log it as an error, or mail it."""
    response = problem.response()
    response._has_been_logged = True  # type: ignore[attr-defined]
    return response


class LeanHandler(Handler):
    """Django's handler without a thread or a second task for a request that needs none.

    A request borrows a thread at its first sync call (`request_thread.py`), and has a task that
    watches for its client's disconnect only while its view waits (`disconnect.py`).
    """

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self.pool = pool
        self.receivers = ForeignReceivers()
        self.raw_headers = header_stores.raw_headers if conf().fast else raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whose sync calls run in a thread of its own."""
        with RequestThread(self.pool) as thread:
            await self._answer(scope, receive, send, thread)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, thread: RequestThread
    ) -> None:
        """Django's `handle`, step by step."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return

        state: RequestState = scope[REQUEST_STATE]
        if state.script_prefix:
            # Else it is "/", which each request's own context begins with.
            set_script_prefix(state.script_prefix)
        await self.receivers.send(request_started, scope=scope)
        if thread.borrowed:
            # A receiver of the signal borrowed a thread. The view may not need one.
            await release()
        request, response = self.create_request(scope, body)

        async def respond() -> None:
            nonlocal response
            # Without a request, `response` says what is wrong with it.
            if request is not None:
                response = await self.run_get_response(request)
            assert response is not None
            await self.send_response(response, send)

        try:
            await cancel_on_disconnect(respond(), receive)
        finally:
            await self._finish(request, response, thread)
            body.close()

    async def _finish(
        self, request: ASGIRequest | None, response: Any, thread: RequestThread
    ) -> None:
        """Close the response and send `request_finished`.

        Three cases: 1. there is no response, since the view was cancelled; 2. a thread was used, or
        closing may block: the response is closed in a thread, as Django always does; 3. closing
        only drops memory.
        """
        if response is None:
            if thread.borrowed:
                await request_finished.asend(sender=ASGIHandler)
            else:
                await self.receivers.send(request_finished)
        elif thread.borrowed or not _only_drops_memory(request, response):
            # The sender of `request_finished`.
            response._handler_class = ASGIHandler
            await sync_to_async(response.close)()
        else:
            response._resource_closers.clear()
            response.closed = True
            await self.receivers.send(request_finished)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """As Django's, without `set_urlconf`: nobody has set another in a request's own context."""
        response: Any = await self._middleware_chain(request)  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)

        if response.status_code >= HTTPStatus.BAD_REQUEST:
            # In a thread: a logging handler may send mail.
            log = sync_to_async(log_response, thread_sensitive=False)
            await log(
                "%s: %s", response.reason_phrase, request.path, response=response, request=request
            )
        return without_forbidden_content(request, admit_stream(request, response))

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """The body: in memory if it came in one piece, else as Django reads it.

        Django writes a body that is large to a temporary file.
        """
        first = await receive()
        if first["type"] == "http.request" and not first.get("more_body", False):
            return BytesIO(first.get("body", b""))
        waiting = [first]

        async def receive_again() -> Message:
            return waiting.pop() if waiting else await receive()

        return await super().read_body(receive_again)

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        """Send the response.

        Two cases: 1. a stream or a response with cookies: as Django does, and a stream waits
        without a thread; 2. any other response leaves in two messages.
        """
        if response.streaming:
            # A stream that continues a query of its view has to keep the thread.
            with suppress(RuntimeError):
                await release()
        if not isinstance(response, HttpResponse) or response.cookies:
            await super().send_response(response, send)
            return

        body = response.content
        # CommonMiddleware sets the length in Django's stack; the API's chain has none.
        length = None if response.status_code in ENDS_WITH_HEAD else len(body)
        headers = self.raw_headers(response, length)
        await send(
            {"type": "http.response.start", "status": response.status_code, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})


def raw_headers(response: HttpResponse, length: int | None) -> list[tuple[bytes, bytes]]:
    """The headers of a response as ASGI wants them, with its length if it has none yet."""
    if length is not None:
        response.headers.setdefault("Content-Length", str(length))
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]


def _only_drops_memory(request: ASGIRequest | None, response: Any) -> bool:
    """Whether nothing blocks in closing: no file, no upload, nothing that somebody registered."""
    return (
        request is not None
        and type(response).close is HttpResponseBase.close
        and response._resource_closers == [request.close]
        and not hasattr(request, "_files")
        and isinstance(request._stream, BytesIO)
    )
