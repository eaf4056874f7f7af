"""A stop behind a balancer: no request is lost."""

import contextlib
import itertools
import select
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPException

import httpx
import pytest
from conftest import TIMEOUT_SECONDS, Serve, Server, eventually

# The first requests of a client, and those that it makes while an instance stops.
CLIENTS = 20


class Balancer:
    """Sends each request to the next instance; to another one if the connection is refused.

    It does no more than that: a request that was sent and got no answer is lost. Connections are
    kept until the instance says `Connection: close`.

    Args:
        servers: the instances.
        heeds: what it looks at before it sends: `connections` whether the kept connection is still
            open, `readiness` whether the instance was ready a moment ago.
    """

    def __init__(self, *servers: Server, heeds: str = "connections") -> None:
        self.servers = servers
        self.turns = itertools.cycle(servers)
        self.heeds = heeds
        # The ports of the instances that get nothing.
        self.out: set[int] = set()
        self.answers: Counter[str] = Counter()
        self.lost: list[str] = []
        self.is_open = True

    def probe(self) -> None:
        """Asks again and again which instance is ready, until the balancer is closed."""
        while self.is_open:
            for server in self.servers:
                with contextlib.suppress(httpx.TransportError):
                    if server.get("/health/ready").status_code == 503:
                        self.out.add(server.port)
            time.sleep(0.05)

    def client(self, keeps: bool) -> None:
        """Makes requests until the balancer is closed."""
        connections: dict[int, HTTPConnection] = {}
        while self.is_open:
            self._post(connections, next(self.turns))
            if not keeps:
                _close(connections)
        _close(connections)

    def _post(self, connections: dict[int, HTTPConnection], server: Server) -> None:
        for instance in (server, next(self.turns), next(self.turns)):
            if instance.port in self.out:
                continue
            connection = connections.get(instance.port)
            if connection is None:
                connection = HTTPConnection("127.0.0.1", instance.port, timeout=TIMEOUT_SECONDS)
                connections[instance.port] = connection
            try:
                if connection.sock is None or (
                    self.heeds == "connections" and _is_closed(connection.sock)
                ):
                    connection.close()
                    connection.connect()
            except ConnectionRefusedError:
                continue
            self._exchange(connection, instance)
            return

    def _exchange(self, connection: HTTPConnection, instance: Server) -> None:
        try:
            connection.request("POST", "/api/echo", b"hello", {"Host": "localhost"})
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException) as error:
            self.lost.append(repr(error))
            connection.close()
        else:
            self.answers[f"{instance.port} {answer.status}"] += 1


def _is_closed(kept: socket.socket) -> bool:
    """Whether the instance has closed a kept connection. Most balancers look before they send."""
    readable, _, _ = select.select([kept], [], [], 0)
    return bool(readable)


def _close(connections: dict[int, HTTPConnection]) -> None:
    for connection in connections.values():
        connection.close()


@pytest.mark.parametrize("keeps", [True, False], ids=["kept connections", "new connections"])
def test_a_stop_under_load_loses_no_request(serve: Serve, keeps: bool) -> None:
    stays = serve()
    stops = serve("--drain", "2")
    balancer = Balancer(stays, stops)
    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(balancer.client, keeps) for _ in range(CLIENTS)]
        eventually(lambda: balancer.answers.total() > 5 * CLIENTS, "the first answers")
        stops.stop()
        balancer.is_open = False
        for client in running:
            client.result(TIMEOUT_SECONDS)
    assert balancer.lost == []
    assert {key.split()[1] for key in balancer.answers} == {"200"}
    assert balancer.answers[f"{stops.port} 200"] > CLIENTS


def test_a_balancer_that_heeds_readiness_alone_loses_no_request(serve: Serve) -> None:
    """It never sees that the instance closes the connections that it has kept and does not use."""
    stays = serve()
    stops = serve("--drain", "10")
    balancer = Balancer(stays, stops, heeds="readiness")
    with ThreadPoolExecutor(CLIENTS + 1) as clients:
        running = [clients.submit(balancer.client, True) for _ in range(CLIENTS)]
        running.append(clients.submit(balancer.probe))
        eventually(lambda: balancer.answers.total() > 5 * CLIENTS, "the first answers")
        stops.process.send_signal(signal.SIGTERM)
        eventually(lambda: stops.port in balancer.out, "the balancer takes the instance out")
        # The second signal ends the drain, when the requests on their way have been answered.
        eventually(lambda: stops.metric("offload_serving_requests_in_flight") == 0, "no request")
        stops.stop()
        balancer.is_open = False
        for client in running:
            client.result(TIMEOUT_SECONDS)
    assert balancer.lost == []
    assert {key.split()[1] for key in balancer.answers} == {"200"}


def test_a_process_that_drains_is_not_ready_and_closes_its_connections(serve: Serve) -> None:
    server = serve("--drain", "60")
    with httpx.Client(base_url=server.url, timeout=TIMEOUT_SECONDS) as client:
        assert client.get("/health/ready").status_code == 200
        assert "Connection" not in client.get("/api/ping").headers
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: client.get("/health/ready").status_code == 503, "the drain")
        for path in ("/api/ping", "/ping"):
            answer = client.get(path)
            assert answer.status_code == 200, "it still serves"
            assert answer.headers["Connection"] == "close"
        assert client.get("/health/live").status_code == 200
    with httpx.stream("GET", f"{server.url}/api/stream") as stream:
        assert next(stream.iter_lines()) == "id: 0", "streams go on until the stop"
    # A second signal ends the drain.
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 30


def test_ctrl_c_does_not_drain(serve: Serve) -> None:
    server = serve("--drain", "60")
    server.process.send_signal(signal.SIGINT)
    server.process.wait(TIMEOUT_SECONDS)


def test_a_request_on_its_way_at_the_stop_is_answered(serve: Serve) -> None:
    server = serve()
    request = b"GET /api/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def is_answered(client: socket.socket) -> bool:
        """Reads one answer: its body ends with a brace, and on the stock handler with a chunk."""
        answer = b""
        while piece := client.recv(2000):
            answer += piece
            if answer.endswith((b"}", b"0\r\n\r\n")):
                break
        return answer.startswith(b"HTTP/1.1 200")

    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(address, TIMEOUT_SECONDS))
            for _ in range(20)
        ]
        # Half of them have been used.
        for client in clients[::2]:
            client.sendall(request)
            assert is_answered(client)
        server.process.send_signal(signal.SIGTERM)
        for client in clients:
            client.sendall(request)
        assert all(is_answered(client) for client in clients)
    server.process.wait(TIMEOUT_SECONDS)
