"""A server of WebSockets in the test's own process, and raw clients of it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn

from offload.conf import conf
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.protocol import HttpProtocol
from offload.serving.types import ASGIApp
from offload.serving.websocket_protocol import limited

TIMEOUT_SECONDS = 30
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; `asked` has the deadline."""
    while not holds():  # noqa: ASYNC110  # it happens in the loop's own time
        await asyncio.sleep(0.01)


class Client:
    """A client that has asked for a WebSocket.

    Attributes:
        served: the server's side of it.
        errors: what the event loop was told of: errors that nothing has caught.
    """

    def __init__(self, streams: tuple[Any, Any], served: Any, errors: list[Any]) -> None:
        self.reader, self.writer = streams
        self.served = served
        self.errors = errors

    async def answer(self) -> bytes:
        """The head of the answer to the handshake."""
        return bytes(await self.reader.readuntil(b"\r\n\r\n"))

    async def rest(self) -> bytes:
        """All that comes until the connection ends."""
        with contextlib.suppress(ConnectionResetError):
            return bytes(await self.reader.read())
        return b""


@contextlib.asynccontextmanager
async def asked(
    app: ASGIApp, limits: ConnectionLimits | None = None, **options: Any
) -> AsyncIterator[Client]:
    """A client whose handshake has come to the application. Its kernel keeps little unread.

    The options are uvicorn's.
    """
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    limits = limits or ConnectionLimits(conf(), 100)
    options = {"interface": "asgi3", "log_config": None, "ws_per_message_deflate": False, **options}
    config = uvicorn.Config("", **options)
    config.loaded = True
    config.loaded_app = app
    config.ws_protocol_class = limited(WebSocketsSansIOProtocol, limits)

    def connection() -> HttpProtocol:
        state = uvicorn.server.ServerState()
        return HttpProtocol(limits=limits, config=config, server_state=state, app_state={})

    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    listener = socket.create_server(("127.0.0.1", 0))
    # Accepted connections inherit it. By default a kernel would hold megabytes.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = await loop.create_server(connection, sock=listener)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(listener.getsockname())
    async with server, asyncio.timeout(TIMEOUT_SECONDS):
        streams = await asyncio.open_connection(sock=client, limit=4096)
        streams[1].write(HANDSHAKE)
        await until(lambda: any(hasattr(each, "handshake_initiated") for each in limits.open))
        (served,) = limits.open
        try:
            yield Client(streams, served, errors)
        finally:
            # What the server has not read is not sent any more.
            streams[1].transport.abort()
            await until(lambda: not limits.open)
