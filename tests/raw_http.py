"""HTTP as bytes on a socket, for what no HTTP client sends."""

import socket
from contextlib import suppress
from typing import Protocol

# Anything that a test waits for happens sooner than this.
SOCKET_TIMEOUT_SECONDS = 30


class Listener(Protocol):
    """A process that listens on a port of 127.0.0.1."""

    port: int


def connect(server: Listener, receive_buffer: int = 0) -> socket.socket:
    """A new connection.

    Args:
        receive_buffer: how many bytes the kernel keeps for this client; 0: as the system has it.
    """
    client = socket.socket()
    client.settimeout(SOCKET_TIMEOUT_SECONDS)
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.connect(("127.0.0.1", server.port))
    return client


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """A request as it is sent."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def everything(client: socket.socket) -> bytes:
    """What arrives until the server closes."""
    answer = b""
    with suppress(ConnectionError):
        while piece := client.recv(65536):
            answer += piece
    return answer


def exchange(server: Listener, *pieces: bytes) -> bytes:
    """What the server answers to these pieces until it closes."""
    with connect(server) as client:
        for piece in pieces:
            client.sendall(piece)
        return everything(client)
