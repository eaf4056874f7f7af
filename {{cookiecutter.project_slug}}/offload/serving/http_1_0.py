"""Answers clients of HTTP/1.0, which know neither chunks nor interim responses."""

import socket
import struct
from typing import Any

from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

# A close is a reset, and is not (man 7 socket: SO_LINGER).
RESETS = struct.pack("ii", 1, 0)
ENDS = struct.pack("ii", 0, 0)


class WithoutChunks:
    """Sends a response without a length as it is: it ends where the connection does.

    uvicorn would send chunks, and a 100 Continue, to any client (RFC 9112 section 6.1, RFC 9110
    section 10.1.1). Whatever breaks such a response off, resets the connection: its client could
    not tell it from a whole one.

    Args:
        cycle: uvicorn's state of the request.
    """

    def __init__(self, app: ASGIApp, cycle: Any) -> None:
        self.app = app
        self._cycle = cycle
        self._ends_with_connection = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        self._cycle.waiting_for_100_continue = False

        async def send_whole(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(message)
            elif self._ends_with_connection:
                self._go_on(message)
            await send(message)

        await self.app(scope, receive, send_whole)

    def _begin(self, start: Message) -> None:
        names = {name.lower() for name, _ in start.get("headers", ())}
        if names.isdisjoint((b"content-length", b"transfer-encoding")):
            self._ends_with_connection = True
            self._cycle.chunked_encoding = False
            self._set_linger(RESETS)

    def _go_on(self, message: Message) -> None:
        self._cycle.expected_content_length = len(message.get("body", b""))
        if not message.get("more_body", False):
            self._set_linger(ENDS)

    def _set_linger(self, option: bytes) -> None:
        connection = self._cycle.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
