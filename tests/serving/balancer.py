"""A small balancer: it sends each request to the next instance that accepts a connection."""

import contextlib
import itertools
import select
import socket
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple

import httpx

# An answer that takes longer is lost.
ANSWER_TIMEOUT_SECONDS = 30
# The connections of one client, by the port of the instance.
Connections = dict[int, HTTPConnection]


class Request(NamedTuple):
    """What a client sends."""

    method: str
    path: str
    body: bytes = b""
    token: str = ""

    def headers(self) -> dict[str, str]:
        more = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Host": "localhost", **more}


ECHO = Request("POST", "/api/echo", b"hello")


class Balancer:
    """Sends a request to another instance if the connection is refused.

    It does no more than that: a request that was sent and got no answer is lost. Connections are
    kept until the instance says `Connection: close`.

    Args:
        ports: where the instances listen.
        pause: seconds between two requests of a client.
        heeds: what it looks at before it sends: `connections` whether the kept connection is still
            open, `readiness` whether the instance was ready a moment ago.
    """

    def __init__(self, *ports: int, pause: float = 0.0, heeds: str = "connections") -> None:
        self.ports = ports
        self.pause = pause
        self.heeds = heeds
        # The ports of the instances that get nothing.
        self.out: set[int] = set()
        self.turns = itertools.count()
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self.is_open = True

    def client(self, keeps: bool, request: Request = ECHO) -> None:
        """Make requests until the balancer is closed."""
        connections: Connections = {}
        while self.is_open:
            self.send(connections, request)
            if not keeps:
                close(connections)
            time.sleep(self.pause)
        close(connections)

    def probe(self) -> None:
        """Ask again and again which instance is ready, until the balancer is closed."""
        while self.is_open:
            for port in self.ports:
                with contextlib.suppress(httpx.TransportError):
                    url = f"http://127.0.0.1:{port}/health/ready"
                    if httpx.get(url, trust_env=False).status_code == 503:
                        self.out.add(port)
            time.sleep(0.05)

    def close(self) -> None:
        """Let the clients come to their end."""
        self.is_open = False

    def send(self, connections: Connections, request: Request) -> tuple[int, bytes]:
        """Send one request. Returns the status and the body; a status of 0 if it is lost."""
        turn = next(self.turns)
        for step in range(len(self.ports)):
            port = self.ports[(turn + step) % len(self.ports)]
            if port in self.out:
                continue
            connection = connections.get(port)
            if connection is None:
                connection = HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_SECONDS)
                connections[port] = connection
            try:
                if connection.sock is None or (
                    self.heeds == "connections" and _is_closed(connection.sock)
                ):
                    connection.close()
                    connection.connect()
            except ConnectionRefusedError:
                continue
            return self._exchange(connection, port, request)
        self.lost.append("every instance refused the connection")
        return 0, b""

    def _exchange(
        self, connection: HTTPConnection, port: int, request: Request
    ) -> tuple[int, bytes]:
        try:
            connection.request(request.method, request.path, request.body, request.headers())
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            self.lost.append(repr(error))
            connection.close()
            return 0, b""
        self.answers[f"{port} {answer.status}"] += 1
        return answer.status, body


def _is_closed(kept: socket.socket) -> bool:
    """Whether the instance has closed a kept connection. Most balancers look before they send."""
    readable, _, _ = select.select([kept], [], [], 0)
    return bool(readable)


def close(connections: Connections) -> None:
    """Close the connections of one client."""
    for connection in connections.values():
        connection.close()
