"""WebSockets as uvicorn speaks them, with limits on what a client may keep the process waiting."""

import logging
from typing import Any

from offload.serving.connection_limits import ConnectionLimits
from offload.serving.slow_readers import SlowReader
from offload.serving.types import Message

# uvicorn logs each WebSocket with its query string, which may hold secrets, and the library its
# begin and its end.
logger = logging.getLogger("uvicorn.error.websockets")
logger.setLevel(logging.WARNING)
# A message may come in so many frames. Its size is limited, but a frame may be empty.
MAX_FRAGMENTS = 1000

# What `limited` mixes the limits into. A service may not have the library that uvicorn's needs.
_Protocol: Any = object


def limited(protocol: type[Any], limits: ConnectionLimits) -> type[Any]:
    """The server's protocol of WebSockets, with limits.

    Args:
        protocol: uvicorn's `websockets-sansio`.
        limits: of all connections of the process.
    """
    return type("LimitedWebSocketProtocol", (LimitedWebSocket, protocol), {"limits": limits})


class LimitedWebSocket(SlowReader, _Protocol):  # type: ignore[misc]
    """One connection of a client.

    1. It stays in the count of all connections. The HTTP protocol hands its transport to another
       object (`handle_websocket_upgrade`), and hears nothing of it any more.
    2. A client that reads nothing is cut off.
    3. Nothing is read from a client that does not read: each ping that it sends is answered.
    4. A message has a limit of fragments.
    """

    limits: ConnectionLimits

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = self.conn.logger = logger

    def connection_made(self, transport: Any) -> None:
        """The client was a client of HTTP before."""
        self.limits.take_over(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self.limits.remove(self)
        super().connection_lost(exc)

    async def send(self, message: Message) -> None:
        """Send what the application says."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # Else uvicorn logs an error after each refusal.
            self.handshake_complete = True

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        if not self.read_paused:
            self.transport.resume_reading()

    def handle_cont(self, event: Any) -> None:
        """A fragment of a message has arrived."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS:
            self.transport.abort()

    def check_time(self, now: float) -> None:
        """Cut off a client that reads nothing.

        uvicorn itself closes a WebSocket whose client does not answer its pings (40 s).
        """
        if self.reads_nothing(self.transport, now, self.limits.write_timeout):
            self.transport.abort()

    def evict(self) -> None:
        """Close at once."""
        self.transport.abort()
