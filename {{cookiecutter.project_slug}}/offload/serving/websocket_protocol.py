"""Counts the connections that have become WebSockets."""

from typing import Any

from offload.serving.connection_limits import ConnectionLimits


def counted(protocol: type[Any], limits: ConnectionLimits) -> type[Any]:
    """The server's protocol of WebSockets, whose connections stay in the count of all connections.

    The HTTP protocol hands its transport to another object (`handle_websocket_upgrade`), and hears
    nothing of the connection any more.

    Args:
        protocol: uvicorn's, with either of its libraries.
        limits: of all connections of the process.
    """

    class CountedWebSocket(protocol):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            limits.take_over(self)
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            limits.remove(self)
            super().connection_lost(exc)

        def check_time(self, now: float) -> None:
            """Nothing: uvicorn closes a WebSocket whose client does not answer its pings (40 s)."""

        def evict(self) -> None:
            """Close at once."""
            self.transport.abort()

    return CountedWebSocket
