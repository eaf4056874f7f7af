"""One request and its answer as seen from outside Django: the body's size, the stream's end, the client's leaving."""

import asyncio
from collections.abc import Callable
from typing import Any

from offload.problems import Problem
from offload.serving.types import Message, Receive, Send

DISCONNECT: Message = {"type": "http.disconnect"}


class Exchange:
    """Stands between the server and a handler; `receive` and `send` are what the handler is given."""

    def __init__(self, receive: Receive, send: Send, limit: int, on_stream: Callable[["Exchange"], Any]) -> None:
        self._receive = receive
        self._send = send
        self._on_stream = on_stream
        self._received = False
        self._body = 0
        self._ended = False
        self._listener: asyncio.Task[Any] | None = None
        self.limit = limit
        self.started = False
        self.complete = False
        self.gone = False

    async def receive(self) -> Message:
        """The next message; a body past the limit raises a 413 before it is read whole.

        Raises:
            Problem: 413, the body is too large.
        """
        if self._ended:
            return DISCONNECT
        if self._received:  # before, there is no stream to end
            self._listener = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._ended or self._listener is None:
                raise
            self._listener.uncancel()  # `end` did this, and nobody else needs to know
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
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on, and notice an event stream when it starts."""
        if message["type"] == "http.response.start":
            if is_event_stream(message):
                self._on_stream(self)  # before `started`: it may refuse
            self.started = True
        elif not message.get("more_body", False):
            self.complete = True
        await self._send(message)
        if message.get("more_body", False):
            await asyncio.sleep(0)  # a body that never waits would keep the loop from learning that its client has left

    def end(self) -> None:
        """End a stream: its handler believes that the client has gone, and the client sees a clean end."""
        self._ended = True
        if self._listener is not None:
            self._listener.cancel()

    async def finish(self) -> None:
        """After the handler is done: close the answer that `end` cut short."""
        if self._ended and self.started and not self.complete:
            await self.send({"type": "http.response.body", "body": b""})


def is_event_stream(start: Message) -> bool:
    """Whether this `http.response.start` opens a Server-Sent Events stream."""
    for name, value in start["headers"]:
        if value.startswith(b"text/event-stream") and name.lower() == b"content-type":
            return True
    return False


def too_large(limit: int) -> Problem:
    """The answer to a body of more than `limit` bytes."""
    return Problem(413, f"The request body is larger than {limit} bytes. Send less, or in parts.")
