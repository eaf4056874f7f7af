"""A stop behind a balancer: no request is lost."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from balancer import Balancer
from conftest import TIMEOUT_SECONDS, Serve, eventually

# The first requests of a client, and those that it makes while an instance stops.
CLIENTS = 20


@pytest.mark.parametrize("keeps", [True, False], ids=["kept connections", "new connections"])
def test_a_stop_under_load_loses_no_request(serve: Serve, keeps: bool) -> None:
    stays = serve()
    stops = serve("--drain", "2")
    balancer = Balancer(stays.port, stops.port)
    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(balancer.client, keeps) for _ in range(CLIENTS)]
        eventually(lambda: balancer.answers.total() > 5 * CLIENTS, "the first answers")
        stops.stop()
        balancer.close()
        for client in running:
            client.result(TIMEOUT_SECONDS)
    assert balancer.lost == []
    assert {key.split()[1] for key in balancer.answers} == {"200"}
    assert balancer.answers[f"{stops.port} 200"] > CLIENTS


def test_a_balancer_that_heeds_readiness_alone_loses_no_request(serve: Serve) -> None:
    """It never sees that the instance closes the connections that it has kept and does not use."""
    stays = serve()
    stops = serve("--drain", "10")
    balancer = Balancer(stays.port, stops.port, heeds="readiness")
    with ThreadPoolExecutor(CLIENTS + 1) as clients:
        running = [clients.submit(balancer.client, True) for _ in range(CLIENTS)]
        running.append(clients.submit(balancer.probe))
        eventually(lambda: balancer.answers.total() > 5 * CLIENTS, "the first answers")
        stops.process.send_signal(signal.SIGTERM)
        eventually(lambda: stops.port in balancer.out, "the balancer takes the instance out")
        # The second signal ends the drain, when the requests on their way have been answered.
        eventually(lambda: stops.metric("offload_serving_requests_in_flight") == 0, "no request")
        stops.stop()
        balancer.close()
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
