"""The process: its start, its end, its refusals, and clients that leave."""

import os
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
import uvicorn
from conftest import LEAN, TIMEOUT_SECONDS, Serve, Server, eventually, lean
from raw_http import connect

from offload.serving.__main__ import _bind
from offload.serving.server import Server as Web


def test_a_client_that_leaves_cancels_its_view_and_is_no_error(serve: Serve) -> None:
    server = serve()
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(server.url + "/api/wait", timeout=0.3)
    eventually(lambda: server.facts()["cancelled"] == 1, "the view's cancellation")
    with httpx.stream("GET", server.url + "/api/stream") as answer:
        next(answer.iter_lines())
    eventually(lambda: server.facts()["streams_closed"] == 1, "the stream's end")
    eventually(
        lambda: server.metric("offload_serving_disconnects_total") == 2, "two disconnects counted"
    )
    server.says("GET /api/wait 499")
    assert "Traceback" not in server.log.read_text()


# On stock Django the generator is closed by the garbage collector.
@lean
def test_a_client_that_leaves_closes_a_generator_that_waits_to_be_read(serve: Serve) -> None:
    server = serve()
    with httpx.stream("GET", server.url + "/api/export") as answer:
        next(answer.iter_raw(1))
        # The server sends until the sockets are full.
        time.sleep(0.3)
    eventually(lambda: server.facts()["streams_closed"] == 1, "the export's end")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_that_never_waits_leaves_the_loop_to_others(serve: Serve, method: str) -> None:
    server = serve()
    with connect(server) as client:
        client.sendall(f"{method} /api/export HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.get("/api/ping").status_code == 200
    assert server.get("/api/ping").status_code == 200


def test_a_view_that_somebody_else_cancelled_is_a_500(server: Server) -> None:
    assert server.get("/api/awaits_cancelled").status_code == 500
    server.says("GET /api/awaits_cancelled 500")
    assert "GET /api/awaits_cancelled 499" not in server.log.read_text()


def test_a_request_too_many_is_shed_and_probes_are_not(serve: Serve) -> None:
    server = serve(SERVING_TEST_REQUESTS="5")
    with ThreadPoolExecutor(5) as clients:
        waiting = [clients.submit(server.get, "/api/fan_out") for _ in range(5)]
        eventually(
            lambda: server.metric("offload_serving_requests_in_flight") >= 5,
            "five requests in flight",
        )
        for path in ("/api/ping", "/ping"):
            answer = server.get(path)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "1"
            assert answer.headers["Content-Type"] == "application/problem+json"
            server.says(f"GET {path} 503")
        assert server.get("/health/go").status_code == 200
        assert [request.result().status_code for request in waiting] == [200] * 5
    # A response arrives a moment before its request has ended.
    eventually(lambda: server.get("/api/ping").status_code == 200, "a place")


def test_clients_that_send_more_and_leave_end_what_is_being_answered(serve: Serve) -> None:
    server = serve()
    for path in ("stream", "wait"):
        with connect(server) as client:
            for each in (path, "ping"):
                client.sendall(f"GET /api/{each} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            eventually(lambda: in_flight(server) == 1, "the first of them")
        eventually(lambda: in_flight(server) == 0, f"the end of {path}")


def in_flight(server: Server) -> float:
    """Requests and streams."""
    return sum(
        server.metric(f"offload_serving_{kind}_in_flight") for kind in ("requests", "streams")
    )


# Answered at once; waits; in a thread; queries from an async view; a stream.
PLAIN_REQUESTS = ["ping", "wait?seconds=0.001", "in_thread", "transactions", "counted_pieces"]


@lean
@pytest.mark.parametrize("path", PLAIN_REQUESTS)
def test_a_request_leaves_nothing_to_the_garbage_collector(server: Server, path: str) -> None:
    server.get("/api/garbage")
    for _ in range(50):
        assert server.get(f"/api/{path}").status_code == 200
    assert server.get("/api/garbage").json()["found"] < 50


def test_bodies_that_arrive_slowly_shed_only_each_other(serve: Serve) -> None:
    server = serve(SERVING_TEST_REQUESTS="2")
    with ExitStack() as clients:
        slow = []
        for _ in range(3):
            client = clients.enter_context(connect(server))
            client.sendall(
                b"POST /api/ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n-"
            )
            slow.append(client)
        assert slow.pop().recv(1000).startswith(b"HTTP/1.1 503")
        assert server.get("/api/ping").status_code == 200
        for client in slow:
            client.sendall(b"-")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
            eventually(lambda: server.metric("offload_serving_requests_in_flight") == 0, "its end")


def test_streams_are_counted_apart(serve: Serve) -> None:
    server = serve(SERVING_TEST_STREAMS="2", SERVING_TEST_REQUESTS="2")
    url = server.url + "/api/stream"
    with (
        httpx.stream("GET", url) as one,
        httpx.stream("GET", url) as two,
        httpx.stream("GET", url) as three,
    ):
        assert [answer.status_code for answer in (one, two, three)] == [200, 200, 503]
        assert three.headers["Retry-After"] == "1"
        if LEAN:
            # Its client has the head a moment before the view's thread is back.
            eventually(
                lambda: server.metric("offload_serving_threads_lent") == 0,
                "a stream waits without a thread",
            )
        assert server.get("/api/ping").status_code == 200
        assert server.metric("offload_serving_streams_in_flight") == 2
    eventually(lambda: server.metric("offload_serving_streams_in_flight") == 0, "no streams left")

    def logged() -> list[str]:
        lines = [line for line in server.log.read_text().splitlines() if "GET /api/stream" in line]
        return sorted(line.split()[-1] for line in lines)

    eventually(lambda: logged() == ["200", "200", "503"], "what was sent, in the log")


def test_a_stream_that_a_middleware_makes_is_one(serve: Serve) -> None:
    server = serve()
    with httpx.stream("GET", server.url + "/api/made") as answer:
        # The lines come while somebody reads them.
        lines = answer.iter_lines()
        assert next(lines) == "id: 0"
        assert server.metric("offload_serving_streams_in_flight") == 1
        assert server.metric("offload_serving_requests_in_flight") == 0


def test_a_stop_ends_streams_at_once_and_lets_requests_finish(serve: Serve) -> None:
    server = serve()
    with ThreadPoolExecutor(2) as clients:
        slow = clients.submit(server.get, "/api/wait?seconds=3")
        # Raises if the stream ends other than cleanly.
        stream = clients.submit(server.get, "/api/stream")
        eventually(lambda: server.metric("offload_serving_streams_in_flight") == 1, "the stream")
        server.process.send_signal(signal.SIGTERM)
        assert stream.result(TIMEOUT_SECONDS).text.startswith("id: 0")
        assert not slow.done(), "the stream ended before the slow request"
        assert slow.result(TIMEOUT_SECONDS).json() == {"waited": True}
    server.process.wait(TIMEOUT_SECONDS)
    log = server.log.read_text()
    ends = ["GET /api/wait 200", "second closed", "first closed"]
    assert [log.index(end) for end in ends] == sorted(log.index(end) for end in ends)


def test_a_stream_that_begins_during_a_stop_ends_at_once(serve: Serve) -> None:
    server = serve()
    with ThreadPoolExecutor(1) as clients:
        stream = clients.submit(server.get, "/api/stream?after=1")
        eventually(
            lambda: server.metric("offload_serving_requests_in_flight") == 1, "the stream's request"
        )
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert stream.result(TIMEOUT_SECONDS).status_code == 200
    server.process.wait(TIMEOUT_SECONDS)
    assert time.monotonic() - begun < 15, "it didn't last until the grace of 20 s was over"


# Stock Django does not cancel the view.
@lean
def test_what_outlives_the_grace_cleans_up_before_the_lifespans_close(serve: Serve) -> None:
    server = serve("--grace", "1")
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(server.get, "/api/cleans_up")
        eventually(lambda: server.metric("offload_serving_requests_in_flight") == 1, "the request")
        server.process.send_signal(signal.SIGTERM)
        assert answer.result(TIMEOUT_SECONDS).status_code == 500
    server.process.wait(TIMEOUT_SECONDS)
    log = server.log.read_text()
    assert log.index("cleaned up") < log.index("second closed")
    assert "GET /api/cleans_up 500" in log


def test_ctrl_c_in_development_does_not_wait_for_streams(serve: Serve) -> None:
    server = serve("--grace", "1")
    with httpx.stream("GET", server.url + "/api/stream") as answer:
        lines = answer.iter_lines()
        next(lines)
        os.killpg(server.process.pid, signal.SIGINT)
        # The response ends cleanly: a broken one would raise an error.
        for _ in lines:
            pass
    server.process.wait(TIMEOUT_SECONDS)
    assert "Cancel 1 running task" not in server.log.read_text()


def test_a_failed_start_says_why_and_exits_non_zero(serve: Serve) -> None:
    server = serve(wait=False, SERVING_TEST_FAIL="1")
    assert server.process.wait(TIMEOUT_SECONDS) != 0
    log = server.log.read_text()
    assert "The service did not start" in log
    assert "REDIS_URL names no host" in log
    assert "Traceback" not in log
    assert "first closed" in log


def test_a_taken_port_is_one_sentence(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serve("--port", str(port), wait=False)
        assert server.process.wait(TIMEOUT_SECONDS) != 0
    assert server.log.read_text().strip() == (
        f"Port {port} on 127.0.0.1 is taken: stop what runs there, "
        "or choose another with --port or PORT=."
    )


def test_of_two_starts_at_once_the_second_to_listen_closes_what_it_opened() -> None:
    said: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("startup", "shutdown"):
            said.append((await receive())["type"])
            await send({"type": f"lifespan.{kind}.complete"})

    with _bind("127.0.0.1", 0) as quicker, _bind("127.0.0.1", quicker.getsockname()[1]) as slower:
        quicker.listen()
        with pytest.raises(SystemExit, match="is taken"):
            Web(uvicorn.Config(application, lifespan="on", log_config=None)).run([slower])
    assert said == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the memory")
@pytest.mark.parametrize("prefix", ["/", "/api/"])
def test_a_file_is_not_read_into_memory(serve: Serve, prefix: str) -> None:
    """Django would read all of it before it sends the first byte."""
    server = serve()
    server.get("/api/ping")
    before = _memory(server)
    with httpx.stream("GET", f"{server.url}{prefix}large_file") as answer:
        size = 0
        for number, piece in enumerate(answer.iter_raw()):
            size += len(piece)
            if number % 100 == 0:
                assert _memory(server) - before < 100_000
    assert size == int(answer.headers["Content-Length"]) == 300 * 10**6
    eventually(lambda: server.facts()["open_uploads"] == 0, "the end of the file")


@pytest.mark.skipif(
    "SERVING_LONG" not in os.environ, reason="the cost of idle streams: SERVING_LONG=1"
)
def test_two_thousand_idle_streams_fit_in_one_process(serve: Serve) -> None:
    server = serve()
    before = _memory(server)
    clients = []
    for _ in range(2000):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET /api/stream?every=600 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        clients.append(client)
    eventually(lambda: server.metric("offload_serving_streams_in_flight") == 2000, "2,000 streams")
    time.sleep(1)
    each = (_memory(server) - before) / 2000
    print(
        f"\n{each:.1f} kB a stream, {server.threads()} threads, "
        f"{server.connections()} database connections"
    )
    for client in clients:
        client.close()
    assert each < 200


def _memory(server: Server) -> int:
    """Resident, in kB."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
