"""Clients that keep a connection waiting, and processes with too many of them."""

import contextlib
import json
import resource
import socket
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from conftest import SERVICE, Serve, Server, eventually, lean, running
from raw_http import connect, everything, request

from offload.serving.connection_limits import CLOSE_TIMEOUT_SECONDS
from offload.serving.http_input import PARSED_AT_ONCE_BYTES
from offload.serving.slow_readers import ClientReading, bytes_read

# Long enough that a busy machine keeps it where it has to be kept.
SHORT_SECONDS = 0.7


def offload(**settings: Any) -> str:
    """For SERVING_TEST_OFFLOAD."""
    return json.dumps(settings)


@pytest.fixture(scope="module")
def hasty(directory: Any) -> Any:
    """A server whose time limits are short."""
    settings = offload(
        head_timeout=SHORT_SECONDS,
        body_timeout=SHORT_SECONDS,
        body_min_rate=100_000,
        request_timeout=SHORT_SECONDS,
        keep_alive_timeout=SHORT_SECONDS,
        # The metrics are made once a second, and a test sees in them that a client is there.
        write_timeout=3 * SHORT_SECONDS,
        write_min_rate=100_000,
    )
    with running(directory, (), True, {"SERVING_TEST_OFFLOAD": settings}) as server:
        yield server


def test_a_client_that_sends_nothing_is_closed_without_an_answer(hasty: Server) -> None:
    with connect(hasty) as client:
        assert everything(client) == b""


def test_a_head_that_does_not_come_to_its_end_is_a_408(hasty: Server) -> None:
    with connect(hasty) as client:
        client.sendall(b"GET /api/ping HTTP/1.1\r\nHost:")
        assert everything(client).startswith(b"HTTP/1.1 408")


def test_a_second_head_that_does_not_come_to_its_end_is_a_408(hasty: Server) -> None:
    with connect(hasty) as client:
        client.sendall(request("GET", "/api/ping") + b"GET /api/")
        said = everything(client)
    assert said.count(b"HTTP/1.1 200") == 1
    assert said.count(b"HTTP/1.1 408") == 1


def test_a_connection_without_a_further_request_is_closed(hasty: Server) -> None:
    with connect(hasty) as client:
        client.sendall(request("GET", "/api/ping"))
        assert everything(client).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/api/echo", "/ping"])
@pytest.mark.parametrize("sent", [b"", b"half of it"])
def test_a_body_that_does_not_come_is_a_408(hasty: Server, path: str, sent: bytes) -> None:
    with connect(hasty) as client:
        client.sendall(request("POST", path, "Content-Length: 1000") + sent)
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    assert b"x-request-id: " in answer


def test_a_body_that_trickles_is_a_408(hasty: Server) -> None:
    with connect(hasty) as client:
        client.sendall(request("POST", "/api/echo", "Content-Length: 100000"))
        with contextlib.suppress(ConnectionError):
            for _ in range(30):
                client.sendall(b"-")
                time.sleep(0.1)
        assert everything(client).startswith(b"HTTP/1.1 408")


def test_a_large_body_that_keeps_the_rate_may_take_longer(hasty: Server) -> None:
    size, pieces = 1_000_000, 20
    with connect(hasty) as client:
        client.sendall(request("POST", "/api/echo", f"Content-Length: {size}", "Connection: close"))
        for _ in range(pieces):
            client.sendall(bytes(size // pieces))
            time.sleep(2 * SHORT_SECONDS / pieces)
        assert everything(client).startswith(b"HTTP/1.1 200")


# Stock Django does not cancel the view.
@lean
@pytest.mark.parametrize("path", ["/api/wait", "/wait"])
def test_a_request_that_takes_too_long_is_a_503_and_its_view_is_cancelled(
    hasty: Server, path: str
) -> None:
    cancelled = hasty.facts()["cancelled"]
    refused = hasty.get(path)
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert "took longer than 0.7 s" in refused.json()["detail"]
    eventually(lambda: hasty.facts()["cancelled"] == cancelled + 1, "the view's cancellation")
    hasty.says(f"GET {path} 503")
    log = hasty.log.read_text()
    assert log.count(f"GET {path} 503") == 1, "one line of the access log, with what was sent"
    assert "Traceback" not in log


def test_a_stream_may_last(hasty: Server) -> None:
    with httpx.stream("GET", f"{hasty.url}/api/stream?every=0.2") as answer:
        lines = (line for line in answer.iter_lines() if line)
        until = time.monotonic() + 3 * SHORT_SECONDS
        while time.monotonic() < until:
            next(lines)


@pytest.mark.parametrize("path", ["/api/large", "/api/export"])
def test_a_client_that_reads_nothing_is_cut_off(hasty: Server, path: str) -> None:
    with connect(hasty, receive_buffer=4096) as client:
        client.sendall(request("GET", path))
        eventually(lambda: hasty.metric("offload_serving_connections") >= 2, "its connection")
        eventually(lambda: hasty.metric("offload_serving_connections") == 1, "its end")
        eventually(lambda: hasty.metric("offload_serving_requests_in_flight") == 0, "the request's")


@pytest.mark.parametrize("path", ["/api/large", "/api/export"])
def test_a_client_that_reads_a_trickle_is_cut_off(hasty: Server, path: str) -> None:
    with connect(hasty, receive_buffer=4096) as client:
        client.sendall(request("GET", path))
        eventually(lambda: hasty.metric("offload_serving_connections") >= 2, "its connection")

        def is_cut_off() -> bool:
            """After another 512 bytes, some of which the kernel has still to deliver then."""
            client.recv(512)
            return hasty.metric("offload_serving_connections") == 1

        eventually(is_cut_off, "its end")
    eventually(lambda: hasty.metric("offload_serving_requests_in_flight") == 0, "the request's")


def test_a_client_that_reads_slowly_is_not_cut_off(hasty: Server) -> None:
    with connect(hasty, receive_buffer=65536) as client:
        client.sendall(request("GET", "/api/large?size=8000000", "Connection: close"))
        read, until = 0, time.monotonic() + 4 * SHORT_SECONDS
        while time.monotonic() < until:
            read += len(client.recv(65536))
            time.sleep(0.05)
        assert read + len(everything(client)) > 8_000_000


class Wire:
    """Stands for the event loop's transport and its socket, of a client that reads by request."""

    def __init__(self, unsent: int, acknowledged: int | None) -> None:
        self.unsent, self.acknowledged = unsent, acknowledged

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> "Wire":
        return self

    def fileno(self) -> int:
        raise OSError

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        if self.acknowledged is None:
            raise OSError
        return bytes(size - 8) + struct.pack("=Q", self.acknowledged)


def seconds_until_cut_off(grows: int, reads: int, *, is_told: bool = True) -> int | None:
    """When a client is cut off that reads so much each second, of what grows by so much."""
    wire, reading = Wire(1_000_000, 0 if is_told else None), ClientReading()
    for now in range(100):
        if reading.is_too_slow(wire, now, seconds=20, min_rate=1000):
            return now
        wire.unsent += grows - reads
        if wire.acknowledged is not None:
            wire.acknowledged += reads
    return None


def test_a_stream_may_grow_as_fast_as_its_client_reads() -> None:
    assert seconds_until_cut_off(grows=1000, reads=1000) is None
    assert seconds_until_cut_off(grows=5000, reads=4000) is None
    assert seconds_until_cut_off(grows=0, reads=0) == 21
    assert seconds_until_cut_off(grows=500, reads=500) == 41
    assert seconds_until_cut_off(grows=5000, reads=500) == 41


def test_where_the_system_does_not_say_what_was_read_what_is_unsent_tells() -> None:
    assert seconds_until_cut_off(grows=0, reads=1000, is_told=False) is None
    assert seconds_until_cut_off(grows=0, reads=500, is_told=False) == 41
    assert seconds_until_cut_off(grows=5000, reads=500, is_told=False) == 21


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells it this way")
def test_the_kernel_tells_what_a_client_has_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        connection, _ = listener.accept()
    with client, connection:
        before = bytes_read(connection, 0)
        connection.sendall(bytes(12_345))
        while len(client.recv(20_000, socket.MSG_PEEK)) < 12_345:
            pass
        eventually(lambda: bytes_read(connection, 0) - before == 12_345, "the acknowledgement")


def test_a_stop_does_not_wait_for_clients_that_read_nothing(serve: Serve) -> None:
    server = serve()
    with ExitStack() as clients:
        for path in ("/api/large", "/api/export"):
            client = clients.enter_context(connect(server, receive_buffer=4096))
            client.sendall(request("GET", path))
        eventually(lambda: server.metric("offload_serving_connections") >= 3, "two clients")
        begun = time.monotonic()
        server.stop()
    assert time.monotonic() - begun < 15, "it did not last until the grace of 20 s was over"


def test_an_idle_connection_gives_way_to_a_new_one(serve: Serve) -> None:
    server = serve(SERVING_TEST_OFFLOAD=offload(connections=20))
    with ExitStack() as clients:
        idle = [clients.enter_context(connect(server)) for _ in range(40)]
        for _ in range(10):
            assert server.get("/api/ping").status_code == 200
        assert server.metric("offload_serving_connections") <= 20
        # The longest idle went first.
        assert everything(idle[0]) == b""


def test_connections_whose_clients_do_not_close_them_give_way_to_new_ones(serve: Serve) -> None:
    server = serve(SERVING_TEST_OFFLOAD=offload(connections=20))
    # Once is enough: a busy machine may be too slow at another time.
    assert any(_seconds_until_room(server) < CLOSE_TIMEOUT_SECONDS - 1 for _ in range(5))


def _seconds_until_room(server: Server) -> float:
    with ExitStack() as clients:
        for _ in range(20):
            client = clients.enter_context(connect(server))
            # So much behind the request that the server waits for the client to close.
            behind = b"-" * 2 * PARSED_AT_ONCE_BYTES
            client.sendall(request("GET", "/api/ping", "Connection: close") + behind)
            everything(client)
        begun = time.monotonic()
        eventually(lambda: _status(server) == 200, "room for others")
        return time.monotonic() - begun


def test_a_connection_too_many_is_a_503_where_none_is_idle(serve: Serve) -> None:
    server = serve(SERVING_TEST_OFFLOAD=offload(connections=5))
    with ExitStack() as clients:
        for _ in range(5):
            client = clients.enter_context(connect(server))
            client.sendall(request("GET", "/api/stream"))
            # It is answered, and no longer idle, when the next one connects.
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        with connect(server) as one_more:
            assert everything(one_more).startswith(b"HTTP/1.1 503")
    eventually(lambda: _status(server) == 200, "room for others")


def _status(server: Server) -> int:
    try:
        return server.get("/health/live").status_code
    except httpx.TransportError:
        return 0


def test_idle_connections_do_not_use_up_the_files_of_the_process(directory: Any) -> None:
    """A process that had no file left accepted nobody: not even a probe."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
        limited = [sys.executable, "-c", LIMIT_FILES, "256"]
        with running(directory, (), True, {}, before=limited) as server, ExitStack() as clients:
            for _ in range(400):
                clients.enter_context(connect(server))
            for path in ("/health/live", "/api/ping", "/ping"):
                assert server.get(path).status_code == 200
            assert "LimitNOFILE" in server.log.read_text()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_few_files_are_kept_for_the_database(directory: Any) -> None:
    """Of 64 files 16 are open before the first client, and each request may open some."""
    limited = [sys.executable, "-c", LIMIT_FILES, "64"]
    with running(directory, (), True, {}, before=limited) as server, ExitStack() as clients:
        for _ in range(60):
            clients.enter_context(connect(server)).sendall(request("GET", "/api/in_thread"))
        eventually(lambda: _status(server) == 200, "a probe beside them", logs=server.log.read_text)
        for _ in range(10):
            assert server.get("/in_thread").status_code == 200
        assert "Too many open files" not in server.log.read_text()


def test_too_few_files_are_refused_at_the_start() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMIT_FILES, "40", sys.executable, "-c", ASK_FOR_CONNECTIONS],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "may open 40 files, and needs 4" in done.stderr


ASK_FOR_CONNECTIONS = f"""
import sys
sys.path.insert(0, {str(SERVICE)!r})
from offload.serving.connection_limits import allowed_connections
allowed_connections(10_000, 40)
"""


def test_the_limit_of_open_files_is_raised_to_what_the_system_allows(directory: Any) -> None:
    limited = [sys.executable, "-c", LIMIT_FILES, "256", "2000"]
    with running(directory, (), True, {}, before=limited) as server:
        with open(f"/proc/{server.process.pid}/limits") as limits:
            line = next(line for line in limits if line.startswith("Max open files"))
        assert line.split()[3:5] == ["2000", "2000"]


# Limits the files of a process and becomes it: soft limit, hard limit, command.
LIMIT_FILES = """
import os, resource, sys
numbers = [int(each) for each in sys.argv[1:3] if each.isdigit()]
resource.setrlimit(resource.RLIMIT_NOFILE, (numbers[0], numbers[-1]))
command = sys.argv[1 + len(numbers):]
os.execv(command[0], command)
"""


def test_half_bodies_do_not_shut_out_whole_ones(serve: Serve) -> None:
    server = serve(SERVING_TEST_REQUESTS="50")
    with ExitStack() as clients:
        for _ in range(50):
            client = clients.enter_context(connect(server))
            client.sendall(request("POST", "/api/echo", "Content-Length: 2000"))
        time.sleep(5.5)
        for _ in range(5):
            with connect(server) as client:
                client.sendall(
                    request("POST", "/api/echo", "Content-Length: 2", "Connection: close")
                )
                client.sendall(b"-")
                time.sleep(0.1)
                client.sendall(b"-")
                assert everything(client).startswith(b"HTTP/1.1 200")
