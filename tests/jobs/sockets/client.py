"""A client of `/ws/jobs`: the `websockets` library, or frames that no library sends."""

import contextlib
import json
import os
import socket
import struct
from importlib.util import find_spec
from typing import Any

import pytest

from jobs.conftest import Lab

if not find_spec("channels"):
    if os.environ.get("REQUIRE_CHANNELS"):
        pytest.fail("REQUIRE_CHANNELS is set and Django Channels is not installed")
    pytest.skip("NO CHANNELS: nobody tried the WebSockets", allow_module_level=True)

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect


def opened(lab: Lab, token: str = "", **options: Any) -> ClientConnection:
    """A WebSocket, with the token as a browser sends it."""
    if token:
        options["subprotocols"] = ["offload.v1", f"bearer.{token}"]
    address = lab.address.replace("http", "ws") + options.pop("path", "/ws/jobs")
    return connect(address, open_timeout=60, close_timeout=10, proxy=None, **options)


def say(client: ClientConnection, type_: str, **more: Any) -> None:
    client.send(json.dumps({"type": type_, **more}))


def hear(client: ClientConnection) -> Any:
    """The next message."""
    return json.loads(client.recv(timeout=60))


def subscribe(client: ClientConnection, *jobs: Any, **more: Any) -> None:
    say(client, "subscribe", jobs=[{"id": str(job.pk), **more} for job in jobs])


def until(client: ClientConnection, type_: str) -> Any:
    """The next message of this type."""
    while (told := hear(client))["type"] != type_:
        pass
    return told


def closed(client: ClientConnection) -> tuple[int, str]:
    """How the server closes it."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=60)
    return client.close_code or 0, client.close_reason or ""


def raw_socket(web: Lab, token: str, receive_buffer: int = 0) -> socket.socket:
    """A connection that has become a WebSocket, for frames that no library sends."""
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", web.port))
    client.sendall(
        f"GET /ws/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return client


def frame(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes([(0x80 if fin else 0) | opcode]) + size + bytes(4) + payload
