"""A server in the test's own process, and a client of it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import uvicorn
from conftest import TIMEOUT_SECONDS

from offload.serving.connection_limits import ConnectionLimits
from offload.serving.protocol import HttpProtocol
from offload.serving.types import ASGIApp
from offload.serving.websocket_protocol import limited


class Handed(asyncio.Protocol):
    """Stands for uvicorn's protocol of WebSockets, whose library a service may not have."""

    def __init__(self, **_: object) -> None:
        self.app: Any = None
        self.transport: Any = None
        self.conn: Any = SimpleNamespace()
        self.read_paused = False
        self.handshake_initiated = True
        self.handshake_complete = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


@contextlib.asynccontextmanager
async def connected(
    limits: ConnectionLimits, app: ASGIApp | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of a server in this process, which has WebSockets."""
    config = uvicorn.Config("", interface="asgi3", log_config=None)
    config.loaded = True
    config.loaded_app = app
    config.ws_protocol_class = limited(Handed, limits)

    def connection() -> HttpProtocol:
        state = uvicorn.server.ServerState()
        return HttpProtocol(limits=limits, config=config, server_state=state, app_state={})

    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname(), TIMEOUT_SECONDS)
    async with server, asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection(sock=client)
        yield reader, writer
        writer.close()
