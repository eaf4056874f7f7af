"""One request and its answer as seen from outside Django: the body's size, the stream's end, the
client's leaving.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.problems import Problem
from offload.serving.types import Message, Receive, Send

# Seconds of a body until the loop has a turn; after each of many small pieces it would cost 9 us.
TURN = 0.002
EVENT_STREAM = b"text/event-stream"
DISCONNECT: Message = {"type": "http.disconnect"}


class Exchange:
    """Stands between the server and a handler; `receive` and `send` are what the handler is given.

    Args:
        receive: the server's.
        send: the server's.
        limit: of the body, in bytes.
        on_body: called for each piece of the body, with whether it was the last; may refuse the
            request (`Problem`).
        on_stream: called when the answer is an event stream; may refuse it (`Problem`).
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        limit: int,
        on_body: Callable[["Exchange", bool], None],
        on_stream: Callable[["Exchange"], None],
    ) -> None:
        self._receive = receive
        self._send = send
        self._on_body = on_body
        self._on_stream = on_stream
        self._received = False
        self._body = 0
        self._ended = False
        self._turned = 0.0
        self._streams = False
        self._listener: asyncio.Task[Any] | None = None
        self.limit = limit
        self.started = False
        self.complete = False
        self.gone = False

    async def receive(self) -> Message:
        """The next message; a body past the limit raises a 413 before it is read whole.

        Raises:
            Problem: 413, the body is too large; 503, there are too many requests.
        """
        if self._ended and self.started:
            return DISCONNECT
        # Before, there is no stream to end.
        if self._received:
            self._listener = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._ended or self._listener is None:
                raise
            # `end` did this, and nobody else needs to know.
            self._listener.uncancel()
            return DISCONNECT
        finally:
            self._listener = None
        if message["type"] == "http.disconnect":
            self.gone = not self.complete
        else:
            self._received = True
            self._body += len(message.get("body", b""))
            if self._body > self.limit:
                raise too_large(self.limit)
            self._on_body(self, not message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on."""
        if message["type"] == "http.response.start":
            if not self._streams and _is_event_stream(message):
                # Made by a middleware: it is refused late, and logged as what it was to be.
                self.stream()
            self.started = True
        elif not message.get("more_body", False):
            self.complete = True
        await self._send(message)
        if self._ended and message["type"] == "http.response.start":
            self.end()
        if message.get("more_body", False) and perf_counter() - self._turned > TURN:
            # A body that never waits would keep the loop from learning that its client has left.
            await asyncio.sleep(0)
            self._turned = perf_counter()

    def stream(self) -> None:
        """The answer is an event stream.

        Raises:
            Problem: 503, there are too many.
        """
        self._on_stream(self)
        self._streams = True

    def end(self) -> None:
        """End a stream once it has started: its handler believes the client gone, and the client
        sees a clean end.
        """
        self._ended = True
        if self.started and self._listener is not None:
            self._listener.cancel()

    async def finish(self) -> None:
        """After the handler is done: close the answer that `end` cut short."""
        if self._ended and self.started and not self.complete:
            await self.send({"type": "http.response.body", "body": b""})


def _is_event_stream(start: Message) -> bool:
    return any(
        value.startswith(EVENT_STREAM) and name.lower() == b"content-type"
        for name, value in start["headers"]
    )


def exchange_of(request: HttpRequest) -> Exchange | None:
    """The exchange that a request is part of; in a test's request there is none."""
    found: Exchange | None = getattr(request, "scope", {}).get("offload.exchange")
    return found


def admitted(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The view's answer; the 503 that refuses it if it is an event stream too many."""
    if response.streaming and response.headers.get("Content-Type", "").startswith(
        EVENT_STREAM.decode()
    ):
        exchange = exchange_of(request)
        try:
            if exchange is not None:
                exchange.stream()
        except Problem as problem:
            refusal = problem.response()
            refusal._has_been_logged = True  # type: ignore[attr-defined]  # as an error, which Django may mail
            refusal._resource_closers += response._resource_closers  # type: ignore[attr-defined]
            return refusal
    return response


def too_large(limit: int) -> Problem:
    """The answer to a body of more than `limit` bytes."""
    return Problem(413, f"The request body is larger than {limit} bytes. Send less, or in parts.")
