"""Ends event streams when the process is told to stop."""

import asyncio
from typing import Any

from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

DISCONNECT: Message = {"type": "http.disconnect"}


class OpenStreams:
    """The event streams of a process, and whether the process was told to stop."""

    def __init__(self) -> None:
        self.stopping = False
        self._streams: set[_StoppableRequest] = set()

    def add(self, stream: "_StoppableRequest") -> None:
        """A response is an event stream. During a stop it ends as soon as it has started."""
        self._streams.add(stream)
        if self.stopping:
            stream.stop()

    def remove(self, stream: "_StoppableRequest") -> None:
        """The stream has ended."""
        self._streams.discard(stream)

    def stop(self) -> None:
        """End every stream now. Other requests may take the grace period of the server."""
        self.stopping = True
        for stream in self._streams:
            stream.stop()


class StreamShutdown:
    """Lets a stop end the event streams, each with a complete response.

    A stream has no end of its own, so without this layer a stop would wait for the whole grace
    period of the server, and the client would see a broken response.
    """

    def __init__(self, app: ASGIApp, *, streams: OpenStreams) -> None:
        self.app = app
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        state: RequestState = scope[REQUEST_STATE]
        request = _StoppableRequest(state, receive)
        state.on_event_stream.append(lambda _: self.streams.add(request))
        try:
            await self.app(scope, request.receive, send)
        finally:
            if state.is_event_stream:
                self.streams.remove(request)

        # The handler believes that the client left, so the response has no last message yet.
        if request.stopped and state.response_started and not state.response_complete:
            await send({"type": "http.response.body", "body": b""})


class _StoppableRequest:
    """A request whose handler can be told that its client has left."""

    __slots__ = ("_interrupted", "_is_received", "_listener", "_receive", "_state", "stopped")

    def __init__(self, state: RequestState, receive: Receive) -> None:
        self.stopped = False
        self._state = state
        self._receive = receive
        self._is_received = False
        # The task that waits in `receive` for the client to leave.
        self._listener: asyncio.Task[Any] | None = None
        self._interrupted = False

    def stop(self) -> None:
        """Make `receive` return `http.disconnect`, now or when the response has started.

        A view that waits before its response is woken instead, and answers.
        """
        if self._state.wake is not None:
            self._state.wake()
            return

        self.stopped = True
        if self._listener is not None and not self._interrupted:
            self._interrupted = True
            self._listener.cancel()

    async def receive(self) -> Message:
        """The next message of the client. `http.disconnect` after a stop.

        While the body is received there is no stream to stop yet, and to ask for the current task
        is a system call before Python 3.12.
        """
        if not self._is_received:
            message = await self._receive()
            self._is_received = not message.get("more_body", False)
            return message
        if self.stopped:
            return await self._disconnect()

        listener = self._listener = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            # Two cases: 1. `stop` cancelled the listener, which is of no interest to anybody else;
            # 2. somebody else did.
            if not self._interrupted or listener is None or listener.uncancel():
                raise
            return await self._disconnect()
        finally:
            self._listener = None

    async def _disconnect(self) -> Message:
        """The client has left, as far as the handler knows; but not before the response started.

        A response that has not started would never be sent.
        """
        while not self._state.response_started:  # noqa: ASYNC110  # an event costs every request
            await asyncio.sleep(0.01)
        return DISCONNECT
