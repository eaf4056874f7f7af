"""WebSockets as uvicorn speaks them, with limits on what a client may keep the process waiting."""

import asyncio
import logging
from typing import Any
from urllib.parse import quote

from uvicorn.protocols.utils import ClientDisconnected

from offload.problems import Problem
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.raw_refusals import raw_refusal
from offload.serving.slow_readers import ClientReading, unacknowledged_bytes
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# uvicorn logs each WebSocket with its query string, which may hold secrets, and the library its
# begin and its end.
logger = logging.getLogger("uvicorn.error.websockets")
logger.setLevel(logging.WARNING)
# Frames of one message. Its size is limited, but a frame may be empty.
MAX_FRAGMENTS = 1000
# The library is given this much at once. It takes 20 us for a ping of 6 bytes: a megabyte of them
# would stop the loop for 3 s.
PARSED_AT_ONCE_BYTES = 4 * 1024
# Frames that say nothing to the application (pings, pongs, and messages behind the close) between
# two looks at the connection (0.5 s). Browsers send no pings, and libraries one in some seconds.
MAX_IDLE_FRAMES = 500
# "Data within a message that was not consistent with the type of the message" (RFC 6455, 7.4.1).
CLOSE_NO_TEXT = 1007
# "An unexpected condition that prevented it from fulfilling the request": the same section.
CLOSE_ERROR = 1011

# What `limited` mixes the limits into. A service may not have the library that uvicorn's needs.
_Protocol: Any = object


def limited(protocol: type[Any], limits: ConnectionLimits) -> type[Any]:
    """uvicorn's protocol `websockets-sansio`, with the limits of the process's connections."""
    return type("LimitedWebSocketProtocol", (LimitedWebSocket, protocol), {"limits": limits})


class LimitedWebSocket(_Protocol):  # type: ignore[misc]
    """One connection of a client.

    1. It stays in the count of all connections. The HTTP protocol hands its transport to another
       object (`handle_websocket_upgrade`), and hears nothing of it any more.
    2. A client that reads too little is cut off.
    3. Nothing is read from a client that does not read: each ping that it sends is answered.
    4. A message has a limit of fragments.
    5. What a client sends ahead is parsed later: ahead of the answer to its handshake, and of a
       message that the application has not read.
    6. A client that sends very many pings, or pongs, is cut off.
    7. A handshake that the library cannot read is refused. uvicorn's own would never answer it.
    8. An application that does not answer a handshake in time is cancelled, and the answer is 503.
       From the leave of its client on it has as much time to end.
    9. An application that fails closes the WebSocket with 1011, and not without a close frame.
    """

    limits: ConnectionLimits
    # uvicorn's own.
    app: ASGIApp
    close_sent: bool

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = self.conn.logger = logger
        self._application: ASGIApp = self.app
        self._deadline: asyncio.Timeout | None = None
        self._unparsed = bytearray()
        self._is_writing_paused = False
        self._idle_frames = 0
        self._reading = ClientReading()

    def connection_made(self, transport: Any) -> None:
        """The client was a client of HTTP before."""
        self.limits.take_over(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self.limits.remove(self)
        is_open = self.handshake_complete
        super().connection_lost(exc)
        if is_open:
            self._set_deadline(self.loop.time() + self.limits.answer_timeout)

    def shutdown(self) -> None:
        """The server closes, and tells the client so (1012).

        Unless the connection is closing already: the library would raise an error (InvalidState),
        with which the whole server would end at once.
        """
        if not self.transport.is_closing():
            super().shutdown()

    async def send(self, message: Message) -> None:
        """Send what the application says."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # Else uvicorn logs an error after each refusal.
            self.handshake_complete = True
            self._set_deadline(None)
        elif message["type"] in ("websocket.accept", "websocket.close"):
            self._set_deadline(None)
            # What waits may be parsed now: what was sent ahead of the accept; the client's close.
            self._parse()

    async def receive(self) -> Message:
        """The next message for the application."""
        message: Message = await super().receive()
        self._parse()
        return message

    # --- the application ---

    async def run_asgi(self) -> None:
        """Serve the WebSocket from its handshake on."""
        self.app = self._serve
        try:
            await super().run_asgi()
        finally:
            # Else the connection, in a circle with itself, would need the garbage collector.
            self.app = self._application

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self.limits.answer_timeout) as self._deadline:
                await self._application(scope, receive, send)
        except ClientDisconnected:
            raise
        except Exception:
            if self._deadline is None or not self._deadline.expired():
                self._close_after_error()
                raise
            self._end_overdue(quote(scope["path"]))
        finally:
            self._deadline = None

    def _set_deadline(self, when: float | None) -> None:
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(when)

    def _end_overdue(self, path: str) -> None:
        seconds = self.limits.answer_timeout
        if self.handshake_complete:
            self.logger.warning(
                "The client of the WebSocket %s left %g s ago, and its consumer has not ended: it "
                "is cancelled. Give each wait in the consumer a deadline.",
                path,
                seconds,
            )
            return

        self.logger.warning(
            "The WebSocket %s had no answer after %g s and is refused. Give each wait in the "
            "consumer's connect() a deadline.",
            path,
            seconds,
        )
        self.handshake_complete = True
        too_slow = f"The WebSocket was not opened within {seconds:g} s. Try again later."
        self._refuse(Problem(503, too_slow, headers={"Retry-After": "1"}))

    def _close_after_error(self) -> None:
        """Tell the client. uvicorn logs the error, and closes the connection."""
        if self.handshake_complete and not (self.close_sent or self.transport.is_closing()):
            self.conn.fail(CLOSE_ERROR)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True

    # --- what arrives ---

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Parse what has come as far as it may be, and read on if nothing is left.

        uvicorn itself reads on as soon as the application has read a message, also while the client
        reads nothing.
        """
        while self._unparsed and not self._has_to_wait():
            part = bytes(self._unparsed[:PARSED_AT_ONCE_BYTES])
            del self._unparsed[:PARSED_AT_ONCE_BYTES]
            super().data_received(part)
            if not self.handshake_initiated and self.conn.handshake_exc is not None:
                reason = f"The WebSocket's handshake cannot be read: {self.conn.handshake_exc}."
                self._refuse(Problem(400, reason))

        if self._is_reading_paused():
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _is_reading_paused(self) -> bool:
        return bool(self._unparsed or self.read_paused or self._is_writing_paused)

    def _has_to_wait(self) -> bool:
        """Whether what has come is parsed later.

        A client must wait for the answer to its handshake (RFC 6455 section 4.1). Before, the
        library cannot say what is wrong with a frame, and uvicorn would raise an AssertionError.
        """
        is_opening = self.handshake_initiated and not self.handshake_complete
        is_busy = self.read_paused or self._is_writing_paused
        return is_opening or is_busy or self.transport.is_closing()

    def _refuse(self, problem: Problem) -> None:
        """Answer the handshake, and close."""
        self.transport.write(raw_refusal(problem, self.default_headers))
        self.transport.close()

    def handle_ping(self) -> None:
        """A ping has arrived, and is answered."""
        self._count_idle_frame()
        if not self.transport.is_closing():
            super().handle_ping()

    def handle_pong(self, event: Any) -> None:
        """A pong has arrived."""
        super().handle_pong(event)
        self._count_idle_frame()

    def send_receive_event_to_app(self) -> None:
        """A whole message has arrived. A text that is no UTF-8 closes the WebSocket (1007).

        uvicorn's own would log the client's mistake as an error with a traceback, and raise another
        one where the client has closed behind it.
        """
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.conn.fail(CLOSE_NO_TEXT, "the text is no UTF-8")
                self.handle_parser_exception()
                return

        super().send_receive_event_to_app()
        if self.close_sent:
            self._count_idle_frame()

    def handle_cont(self, event: Any) -> None:
        """A fragment of a message has arrived."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self.transport.abort()

    def _count_idle_frame(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        self._is_writing_paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._is_writing_paused = False
        self._parse()

    # --- time ---

    def keepalive_timeout(self) -> None:
        """The answer to a ping has not been read in time.

        It may have come: while a message waits for an application that is busy, nothing is read.
        Then the client is asked again, as long as its system takes what is sent. If the client has
        left, that ends the connection.
        """
        is_taken = not unacknowledged_bytes(self.transport.get_extra_info("socket"))
        if self._is_reading_paused() and is_taken:
            self.send_keepalive_ping()
        else:
            super().keepalive_timeout()

    def check_time(self, now: float) -> None:
        """Cut off a client that reads too little.

        uvicorn itself closes a WebSocket whose client does not answer its pings (40 s).
        """
        self._idle_frames = 0
        if self._reading.is_too_slow(
            self.transport, now, self.limits.write_timeout, self.limits.write_min_rate
        ):
            self.transport.abort()

    def evict(self) -> None:
        """Close at once."""
        self.transport.abort()
