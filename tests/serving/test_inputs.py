"""Requests that are too large, malformed or hostile: each gets its 4xx, and others are served."""

import contextlib
import re
import time

import httpx
import pytest
from conftest import Serve, Server, eventually
from in_process import connected
from raw_http import connect, exchange, request

from offload.conf import conf
from offload.serving import http_input
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.http_input import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_TARGET_BYTES,
    PARSED_AT_ONCE_BYTES,
)
from offload.serving.types import Receive, Scope, Send

MEGABYTE = 1024 * 1024
CHUNKED = request("POST", "/api/echo", "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("path", "limit"), [("/api/ping", MEGABYTE), ("/api/echo", 2 * MEGABYTE), ("/ping", MEGABYTE)]
)
def test_a_body_has_the_limit_of_its_path(server: Server, path: str, limit: int) -> None:
    assert httpx.post(server.url + path, content=bytes(limit)).status_code in (200, 403)
    too_large = httpx.post(server.url + path, content=bytes(limit + 1))
    assert too_large.status_code == 413
    assert str(limit) in too_large.json()["detail"]


def test_a_probe_takes_no_body(server: Server) -> None:
    refused = httpx.request("GET", f"{server.url}/health/live", content=b"-")
    assert refused.status_code == 413
    assert "without" in refused.json()["detail"]
    endless = request("GET", "/health/live", "Transfer-Encoding: chunked")
    assert exchange(server, endless).startswith(b"HTTP/1.1 413")


def test_fields_behind_a_body_are_no_headers(server: Server) -> None:
    trailers = b"1\r\n-\r\n0\r\nAuthorization: Bearer stolen\r\nX-Request-ID: theirs\r\n\r\n"
    chunked = request("POST", "/api/echo", "Transfer-Encoding: chunked", "Connection: close")
    # In one packet and in two: the request's task may or may not have begun.
    for pieces in ((chunked + trailers,), (chunked, trailers[:12], trailers[12:])):
        answer = exchange(server, *pieces)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"stolen" not in answer
        assert b"theirs" not in answer


@pytest.mark.parametrize("path", ["/api/ping", "/ping", "/health/live"])
def test_two_hosts_are_refused(server: Server, path: str) -> None:
    for hosts in (("Host: evil.example",), ("Host: localhost",)):
        assert exchange(server, request("GET", path, *hosts, "Connection: close")).startswith(
            b"HTTP/1.1 400"
        )


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "PURGE", "MKCOL"])
@pytest.mark.parametrize("path", ["/api/ping", "/ping", "/health/live"])
def test_a_method_that_nobody_serves_is_a_405(server: Server, method: str, path: str) -> None:
    refused = httpx.request(method, server.url + path)
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_a_probe_is_only_read(server: Server, method: str, path: str) -> None:
    refused = httpx.request(method, server.url + path)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_methods_that_nobody_serves_are_one_series_of_the_metrics(server: Server) -> None:
    for method in ("TRACE", "PROPFIND", "PURGE"):
        httpx.request(method, f"{server.url}/api/ping")
    figures = server.get("/metrics").text
    assert 'method="_OTHER",route="refused",status="405"' in figures
    assert "PURGE" not in figures


def test_a_probes_exceptions_end_where_its_path_ends(server: Server) -> None:
    foreign = {"Host": "evil.example"}
    assert server.get("/metrics", headers=foreign).status_code == 200
    assert server.get("/metricsfoo", headers=foreign).status_code == 400


def test_a_refusal_is_a_whole_answer_and_is_recorded(server: Server) -> None:
    refused = server.get("/api/ping", headers={"Host": "evil.example", "X-Request-ID": "mine"})
    assert refused.status_code == 400
    assert refused.headers["X-Request-ID"] == "mine"
    assert refused.headers["X-Content-Type-Options"] == "nosniff"
    assert refused.headers["X-Frame-Options"] == "DENY"
    series = 'offload_serving_request_seconds_count{method="GET",route="refused",status="400"}'
    assert server.metric(series) >= 1
    server.says("GET /api/ping 400")


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES + 5000, 100_000])
def test_a_large_head_is_refused_if_it_comes_in_one_packet_too(server: Server, size: int) -> None:
    refused = exchange(server, request("GET", "/api/ping", "X-Long: " + "x" * size))
    assert refused.startswith(b"HTTP/1.1 431")
    assert b"x-request-id: " in refused


@pytest.mark.parametrize("path", ["/", "/api/ping?"])
def test_a_long_path_is_refused_and_not_logged(server: Server, path: str) -> None:
    """Django logged twice what a stranger sent, as an error with a traceback."""
    longest = path + "x" * (MAX_TARGET_BYTES - len(path))
    assert exchange(server, request("GET", longest, "Connection: close"))[9:12] in (b"200", b"404")
    refused = exchange(server, request("GET", f"{longest}x", "Upgrade: websocket"))
    assert refused.startswith(b"HTTP/1.1 414")
    assert b"8192 bytes" in refused


def test_a_head_with_very_many_headers_is_refused(server: Server) -> None:
    names = [f"X-{number}: 1" for number in range(MAX_HEADERS + 1)]
    assert exchange(server, request("GET", "/api/ping", *names)).startswith(b"HTTP/1.1 431")
    assert server.get("/api/ping").status_code == 200


@pytest.mark.parametrize("path", ["/api/ping", "/ping", "/health/live"])
@pytest.mark.parametrize(
    "content_type",
    [
        # The standard library's parser took 13 s for 63,000 of them, and nobody was served.
        'text/plain;a="' + ";" * 1000,
        # Its parser, or Django around it, raised an error.
        "text/plain;a*=nonsense''x",
        "text/plain;a*=idna''x",
        f"text/plain;a*{'9' * 20}=x",
    ],
    ids=["long", "unknown encoding", "not an encoding of text", "number"],
)
def test_a_content_type_that_is_hard_to_parse_is_refused(
    server: Server, path: str, content_type: str
) -> None:
    refused = server.get(path, headers={"Content-Type": content_type})
    assert refused.status_code == 400
    assert "Content-Type" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/api/ping", "/session"])
def test_cookies_that_take_long_to_parse_are_refused(server: Server, path: str) -> None:
    """31,000 quotes took the standard library 14 s (CVE-2024-7592)."""
    refused = server.get(path, headers={"Cookie": 'sessionid="' + '\\"' * 4000 + '"'})
    assert refused.status_code == 400
    assert "backslashes" in refused.json()["detail"]


def test_cookies_that_browsers_send_are_taken(server: Server) -> None:
    """Large ones, and one of Django's messages, whose JSON is full of quotes."""
    message = '"' + '\\"__json_message\\"\\0540\\054' * 90 + '"'
    cookies = f"messages={message}; " + "; ".join(f"c{number}={'x' * 1000}" for number in range(4))
    assert server.get("/api/ping", headers={"Cookie": cookies}).status_code == 200


def test_the_parts_of_a_content_type_in_several_headers_count_together(server: Server) -> None:
    parts = ["Content-Type: a/b" + "x" * 100] * 3
    asked = request("GET", "/api/ping", *parts, "Connection: close")
    assert exchange(server, asked).startswith(b"HTTP/1.1 400")


def test_a_content_type_that_clients_send_is_taken(server: Server) -> None:
    boundary = "b" * 70
    for content_type in (
        "application/json; charset=utf-8",
        f"multipart/form-data; boundary={boundary}",
    ):
        headers = {"Content-Type": content_type}
        assert server.get("/api/ping", headers=headers).status_code == 200


def test_garbage_behind_a_request_does_not_become_its_answer(server: Server) -> None:
    asked = request("GET", "/api/wait?seconds=0.3")
    for pieces in ((asked + b"\x00\x01garbage\r\n\r\n",), (asked, b"\x00\x01garbage\r\n\r\n")):
        answer = exchange(server, *pieces)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b"HTTP/1.1") == 1
    assert exchange(server, b"\x00\x01garbage\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_what_follows_a_refused_body_is_discarded_up_to_a_limit(server: Server) -> None:
    head = request("POST", "/api/ping", f"Content-Length: {2**30}")
    with connect(server) as client:
        client.sendall(head)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 2**30:
                sent += client.send(bytes(65536))
    # Ten megabytes are discarded, and the sockets hold some.
    assert sent < 32 * MEGABYTE


def test_a_client_that_sends_its_body_first_still_reads_the_refusal(server: Server) -> None:
    body = bytes(4 * MEGABYTE)
    head = request("POST", "/api/ping", f"Content-Length: {len(body)}")
    for _ in range(10):
        answer = exchange(server, head, body)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer.lower()


def test_requests_sent_ahead_are_parsed_a_few_at_a_time(serve: Serve) -> None:
    """256 kB of them behind a slow one cost some memory before, and the loop 147 ms."""
    server = serve()
    shortest = b"GET /api/ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ahead = 3000
    with connect(server) as client:
        client.sendall(request("GET", "/api/wait?seconds=1") + shortest * ahead)
        time.sleep(0.3)
        queued = server.get("/api/facts").json()["queued_requests"]
        assert queued < 200, "the others are bytes until they are answered"
        found = b""
        while found.count(b"HTTP/1.1 200") < ahead + 1:
            piece = client.recv(1 << 20)
            assert piece, "every request is answered"
            found += piece


def test_a_client_that_leaves_while_its_next_request_waits_is_seen(serve: Serve) -> None:
    server = serve()
    for gap in (0.0, 0.3):
        with connect(server) as client:
            for path in ("/api/wait", "/api/ping"):
                client.sendall(request("GET", path))
                time.sleep(gap)
        eventually(
            lambda: server.metric("offload_serving_requests_in_flight") == 0,
            "the end of the request whose client left",
        )


async def test_what_takes_long_to_parse_is_parsed_in_turns_with_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A megabyte in chunks of one byte takes 300 ms, and much of it arrives at once."""
    monkeypatch.setattr(http_input, "PARSE_SECONDS", 0.0)
    chunks = 100_000
    pieces: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            pieces.append(len(message["body"]))
            if not message["more_body"]:
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body"})

    async with connected(ConnectionLimits(conf(), 100), app) as (reader, writer):
        writer.write(CHUNKED + b"1\r\n-\r\n" * chunks + b"0\r\n\r\n")
        assert b" 204 " in await reader.readline()
    assert sum(pieces) == chunks
    assert max(pieces) <= PARSED_AT_ONCE_BYTES


def test_requests_with_bodies_in_very_small_chunks_may_be_sent_ahead(server: Server) -> None:
    small = b"1\r\n-\r\n" * 50_000 + b"0\r\n\r\n"
    asked = CHUNKED + small
    last = request("POST", "/api/echo", "Transfer-Encoding: chunked", "Connection: close") + small
    answer = exchange(server, asked + asked + last)
    assert answer.count(b'"size": 50000') == 3
    assert answer.count(b"HTTP/1.1 200") == 3


SMUGGLED = b"GET /api/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
AMBIGUOUS = {
    "length, then chunked": ("Content-Length: 5", "Transfer-Encoding: chunked"),
    "chunked, then length": ("Transfer-Encoding: chunked", "Content-Length: 5"),
    "two lengths": ("Content-Length: 5", "Content-Length: 0"),
    "a list of lengths": ("Content-Length: 5, 0",),
    "a negative length": ("Content-Length: -1",),
    "a length with a sign": ("Content-Length: +5",),
    "a hexadecimal length": ("Content-Length: 0x5",),
    "a space before the colon": ("Content-Length : 5",),
    "an unknown coding": ("Transfer-Encoding: xchunked",),
    "chunked is not the last coding": ("Transfer-Encoding: chunked, identity",),
    "a folded line": ("X-Folded: a", " Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("headers", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_request_whose_end_two_parsers_could_see_differently_is_refused(
    server: Server, headers: tuple[str, ...]
) -> None:
    """Request smuggling (RFC 9112 section 11.2): what follows is never taken for a request."""
    said = exchange(server, request("POST", "/api/echo", *headers, body=b"0\r\n\r\n" + SMUGGLED))
    assert re.findall(rb"HTTP/1\.1 \d{3}", said) == [b"HTTP/1.1 400"]
