"""The HTTP protocol: bounded heads, pipelined requests, and writes that leave together."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from conftest import Serve, Server, eventually, lean
from raw_http import SOCKET_TIMEOUT_SECONDS, connect, everything, exchange, request

from offload.serving.connection_limits import CLOSE_TIMEOUT_SECONDS
from offload.serving.fast.coalescing import (
    MAX_BUFFERED_BYTES,
    MAX_HOLD_SECONDS,
    CoalescingTransport,
    LoopIteration,
)
from offload.serving.http_input import MAX_HEAD_BYTES


class Wire:
    """Stands for the server's transport: what was sent, and whether it is closed."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    get_extra_info = pause_reading = resume_reading = None

    def is_closing(self) -> bool:
        return self.closed

    def writelines(self, pieces: Iterable[bytes]) -> None:
        assert not self.closed, "uvloop raises here"
        self.sent.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True


def after_an_iteration(write: Callable[[CoalescingTransport, Wire], None]) -> Wire:
    """The wire, an iteration of the loop after these writes."""
    wire = Wire()

    async def iterations() -> None:
        write(CoalescingTransport(wire, LoopIteration(asyncio.get_running_loop())), wire)
        await asyncio.sleep(0)

    asyncio.run(iterations())
    return wire


def test_a_head_and_its_body_leave_together_at_the_end_of_the_iteration() -> None:
    def write(transport: CoalescingTransport, wire: Wire) -> None:
        transport.write(b"head ")
        transport.write(b"body")
        assert wire.sent == []

    assert after_an_iteration(write).sent == [b"head body"]


def test_much_leaves_at_once_so_that_a_slow_reader_can_pause_it() -> None:
    def write(transport: CoalescingTransport, wire: Wire) -> None:
        transport.write(b"head")
        transport.write(bytes(MAX_BUFFERED_BYTES))
        assert [len(piece) for piece in wire.sent] == [4 + MAX_BUFFERED_BYTES]
        transport.write(b"more")

    assert after_an_iteration(write).sent[1:] == [b"more"]


def test_what_was_held_back_leaves_before_the_end_unless_the_client_left() -> None:
    def close(transport: CoalescingTransport, wire: Wire) -> None:
        transport.write(b"last words")
        transport.close()

    def upgrade(transport: CoalescingTransport, wire: Wire) -> None:
        transport.write(b"last words")
        assert transport.unwrap() is wire
        assert wire.sent == [b"last words"]

    def lose(transport: CoalescingTransport, wire: Wire) -> None:
        transport.write(b"to nobody")
        wire.close()

    assert after_an_iteration(close).sent == [b"last words"]
    assert after_an_iteration(upgrade).sent == [b"last words"]
    assert after_an_iteration(lose).sent == []


def test_a_long_iteration_sends_what_it_has_before_its_end() -> None:
    async def iterations() -> tuple[list[bytes], list[bytes]]:
        wires = Wire(), Wire()
        iteration = LoopIteration(asyncio.get_running_loop())
        first, second = (CoalescingTransport(wire, iteration) for wire in wires)
        first.write(b"first")
        until = time.perf_counter() + MAX_HOLD_SECONDS
        while time.perf_counter() < until:
            pass
        second.write(b"second")
        return wires[0].sent, wires[1].sent

    assert asyncio.run(iterations()) == ([b"first"], [b"second"])


def test_a_connection_that_cannot_be_written_to_costs_the_others_nothing() -> None:
    class Broken(Wire):
        def writelines(self, pieces: Iterable[bytes]) -> None:
            raise RuntimeError("as the test wants")

        def abort(self) -> None:
            self.closed = True

    async def iterations() -> list[Wire]:
        wires = [Wire(), Broken(), Wire()]
        iteration = LoopIteration(asyncio.get_running_loop())
        for wire in wires:
            CoalescingTransport(wire, iteration).write(b"answer")
        await asyncio.sleep(0)
        return wires

    first, broken, last = asyncio.run(iterations())
    assert first.sent == last.sent == [b"answer"]
    assert broken.closed


def test_a_buffer_may_be_used_again_as_soon_as_it_was_sent() -> None:
    def write(transport: CoalescingTransport, wire: Wire) -> None:
        buffer = bytearray(b"first")
        transport.write(buffer)  # type: ignore[arg-type]
        buffer[:] = b"other"

    assert after_an_iteration(write).sent == [b"first"]


def test_requests_in_one_packet_are_answered_in_their_order(server: Server) -> None:
    answer = exchange(
        server,
        request("GET", "/api/ping", "X-Request-ID: first")
        + request("HEAD", "/api/ping", "X-Request-ID: second")
        + request("GET", "/api/ping", "X-Request-ID: third", "Connection: close"),
    )
    ids = [
        line.partition(b": ")[2]
        for line in answer.split(b"\r\n")
        if line.startswith(b"x-request-id")
    ]
    assert ids == [b"first", b"second", b"third"]
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b'{"pong": true') == 2, "a HEAD has no body"


@pytest.mark.parametrize("path", ["/api/stream", "/stream"])
def test_a_head_of_an_event_stream_keeps_neither_connection_nor_stream(
    server: Server, path: str
) -> None:
    with connect(server) as client:
        client.sendall(request("HEAD", path) + request("GET", "/api/ping", "Connection: close"))
        answer = everything(client)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"text/event-stream" in answer
    assert b"\r\n\r\nHTTP/1.1 200 OK" in answer, "the first answer has no body"
    assert b'{"pong": true' in answer
    eventually(lambda: server.metric("offload_serving_streams_in_flight") == 0, "its end")


def test_a_head_of_a_stream_makes_none_of_its_pieces(server: Server) -> None:
    """Django would read a file to its end, into memory, before it sends nothing of it."""
    before = server.facts()["pieces"]
    for prefix in ("/", "/api/"):
        head = server.head(f"{prefix}counted_pieces")
        assert (head.status_code, head.headers["X-Pieces"]) == (200, "1000")
        assert server.facts()["pieces"] == before, "none of an async stream's"

        head = server.head(f"{prefix}stored")
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(5 * 2**20))
        assert server.facts()["pieces"] == before, "none of a file's"
        assert server.facts()["open_uploads"] == 0, "which is closed"


def asked_in_1_0(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    return request(method, path, *headers, body=body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)


@pytest.mark.parametrize("path", ["/api/peeked", "/peeked"])
def test_a_client_of_http_1_0_is_sent_no_chunks(server: Server, path: str) -> None:
    """RFC 9112 section 6.1. The end of the connection is that of the body."""
    answer = exchange(server, asked_in_1_0("GET", path))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b"0123456"


def test_a_response_of_known_length_is_the_same_for_a_client_of_http_1_0(server: Server) -> None:
    head, _, body = exchange(server, asked_in_1_0("GET", "/api/stored")).partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head.lower() + b"\r\n"
    assert len(body) == 5 * 2**20


def test_a_client_of_http_1_0_is_sent_no_interim_response(server: Server) -> None:
    """RFC 9110 section 10.1.1."""
    asked = asked_in_1_0("POST", "/api/echo", "Content-Length: 5", "Expect: 100-continue")
    assert exchange(server, asked, b"hello").startswith(b"HTTP/1.1 200")


def test_a_client_of_http_1_0_sees_that_its_response_was_broken_off(server: Server) -> None:
    """An end of the connection would look like the body's."""
    with connect(server) as client:
        client.sendall(asked_in_1_0("GET", "/api/breaks_off"))
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


def test_requests_in_one_packet_share_no_context(server: Server) -> None:
    names = [("X-Name: first",), ("X-Name: second",), ("X-Name: third", "Connection: close")]
    answer = exchange(
        server, b"".join(request("GET", "/api/remembers", *headers) for headers in names)
    )
    assert answer.count(b'{"last": "nobody"}') == 3


CHUNKED = request("POST", "/api/ping", "Transfer-Encoding: chunked")
ENDLESS = {
    "a head": request("GET", "/api/ping")[:-2],
    "trailers": CHUNKED + b"1\r\n-\r\n0\r\n",
    "no request": b"",
}


@pytest.mark.parametrize("start", ENDLESS.values(), ids=ENDLESS)
def test_a_head_without_an_end_is_refused(server: Server, start: bytes) -> None:
    with connect(server) as client:
        client.sendall(start)
        with contextlib.suppress(ConnectionError):
            for number in range(10_000):
                client.sendall(
                    b"X-%d: " % number + b"x" * 2000 + b"\r\n" if start else b"\r\n" * 1000
                )
            pytest.fail("twenty megabytes were taken")
    server.says("A client's request head (or trailers) had no end after")
    with connect(server) as client:
        client.sendall(request("GET", "/api/ping", "X-Long: " + "x" * 2 * MAX_HEAD_BYTES)[:-4])
        assert b"head is larger than 65536 bytes" in client.recv(1000)


@pytest.mark.parametrize("path", ["stream", "wait?seconds=5"])
def test_the_refusal_of_a_head_gets_into_no_other_answer(server: Server, path: str) -> None:
    with connect(server) as client:
        client.sendall(request("GET", f"/api/{path}"))
        time.sleep(0.3)
        client.sendall(request("GET", "/api/ping", "X-Long: " + "x" * 8 * MAX_HEAD_BYTES)[:-4])
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(65536):
                answer += piece
    assert b" 400 " not in answer
    assert not answer or answer.count(b"HTTP/1.1 200") == 1


def test_a_large_body_in_small_pieces_is_no_large_head(server: Server) -> None:
    pieces = b"".join(b"100\r\n" + b"-" * 256 + b"\r\n" for _ in range(2000)) + b"0\r\n\r\n"
    assert exchange(server, CHUNKED[:-2] + b"Connection: close\r\n\r\n", pieces).startswith(
        b"HTTP/1.1 200"
    )


def test_a_client_may_ask_before_it_sends_its_body(server: Server) -> None:
    with connect(server) as client:
        client.sendall(
            request(
                "POST",
                "/api/ping",
                "Content-Length: 5",
                "Expect: 100-continue",
                "Connection: close",
            )
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(b"hello")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


# Stock Django takes a half-closed client for one that has left.
@lean
def test_a_client_that_ends_its_half_still_gets_an_answer_that_nothing_keeps_waiting(
    server: Server,
) -> None:
    for _ in range(50):
        with connect(server) as client:
            client.sendall(request("GET", "/api/ping"))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/api/ping", "/ping", "/api/large?size=300000"])
def test_what_comes_behind_a_last_request_does_not_destroy_its_answer(
    server: Server, path: str
) -> None:
    """A socket that is closed with unread bytes sends a reset, and the client loses the answer."""
    behind = request("GET", "/api/ping") * 30_000
    with connect(server, receive_buffer=65536) as client:
        sender = threading.Thread(
            target=client.sendall, args=(request("GET", path, "Connection: close") + behind,)
        )
        sender.start()
        # All of it is with the server before the client reads.
        sender.join()
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1, "nothing behind the last request is answered"
    head, _, body = answer.partition(b"\r\n\r\n")
    is_whole = f"content-length: {len(body)}".encode() in head.lower()
    # Stock Django's answers have no length.
    assert is_whole or body.endswith(b"\r\n0\r\n\r\n")


def test_what_comes_while_a_last_answer_is_still_sent_does_not_destroy_it(server: Server) -> None:
    """The server has closed its side then, and reads no more: the same reset."""
    for _ in range(5):
        with connect(server, receive_buffer=65536) as client:
            client.sendall(request("GET", "/api/large?size=4000000", "Connection: close"))
            answer = client.recv(1000)
            client.sendall(b"-" * 100)
            time.sleep(0.05)
            while piece := client.recv(65536):
                answer += piece
        assert len(answer) > 4_000_000


def test_clients_that_reset_their_connections_cost_nothing(serve: Serve) -> None:
    server = serve()
    for _ in range(300):
        with connect(server) as client:
            # With this option close() sends a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(request("GET", "/api/ping") * 3)
    assert server.get("/api/ping").status_code == 200
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "rror" not in log


def test_an_upgrade_to_a_websocket_where_none_is_served_is_refused(server: Server) -> None:
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==",
    )
    with connect(server) as client:
        client.sendall(request("GET", "/ws", *upgrade))
        status = client.recv(1000).split()[1]
    assert status in (b"404", b"403"), "with a WebSocket library and without one"


def test_a_client_that_sends_while_it_reads_its_last_answer_slowly_gets_all_of_it(
    server: Server,
) -> None:
    """All of it is with the kernel, which drops it if the server closes while bytes arrive."""
    with connect(server) as client:
        client.sendall(request("GET", "/api/large?size=4000000", "Connection: close"))
        answer = b""
        reads_slowly_until = time.monotonic() + CLOSE_TIMEOUT_SECONDS + 2
        while time.monotonic() < reads_slowly_until:
            client.sendall(b"-")
            answer += client.recv(1000)
            time.sleep(0.02)
        while piece := client.recv(65536):
            answer += piece
    assert len(answer) > 4_000_000


def test_a_client_that_sends_a_trickle_and_reads_nothing_is_cut_off(serve: Serve) -> None:
    server = serve(SERVING_TEST_OFFLOAD=json.dumps({"write_timeout": 1}))
    with connect(server) as client:
        client.sendall(request("GET", "/api/large?size=1000000", "Connection: close"))
        with pytest.raises(ConnectionError):
            for _ in range(10 * SOCKET_TIMEOUT_SECONDS):
                client.sendall(b"-")
                time.sleep(0.1)
