"""Upgrades that nobody serves: the request is answered as if nobody had asked for them."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import TIMEOUT_SECONDS, Server
from in_process import Handed, connected
from raw_http import exchange, request

from offload.conf import conf
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.types import Receive, Scope, Send

H2C = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
JAVA = """
import java.net.URI;
import java.net.http.*;
import java.util.function.Supplier;

public class Post {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var large = "x".repeat(300_000);
        for (var text : new String[] {"hello", large, ""}) {
            Supplier<java.io.InputStream> stream =
                () -> new java.io.ByteArrayInputStream(text.getBytes());
            for (var body : new HttpRequest.BodyPublisher[] {
                HttpRequest.BodyPublishers.ofString(text),
                HttpRequest.BodyPublishers.ofInputStream(stream),
            }) {
                var request = HttpRequest.newBuilder(URI.create(arguments[0])).POST(body).build();
                var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(answer.statusCode() + " " + answer.body());
            }
        }
    }
}
"""


def test_a_body_behind_an_upgrade_to_http2_is_read(server: Server) -> None:
    with_length = request("POST", "/api/echo", *H2C, "Content-Length: 5", body=b"hello")
    chunked = request(
        "POST", "/api/echo", *H2C, "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"
    )
    last = request("GET", "/api/echo", *H2C, "Connection: close")
    answer = exchange(server, with_length + chunked + last)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.count(b'"body": "hello"') == 2
    assert b"upgrade" not in answer.lower(), "the application is not asked to upgrade"


def test_a_body_behind_an_upgrade_may_come_in_pieces(server: Server) -> None:
    sent = request(
        "POST", "/api/echo", *H2C, "Content-Length: 5", "Connection: close", body=b"hello"
    )
    for cut in (10, 40, len(sent) - 6, len(sent) - 5, len(sent) - 2):
        assert b'"body": "hello"' in exchange(server, sent[:cut], sent[cut:])


def test_what_else_a_connection_header_says_is_obeyed(server: Server) -> None:
    closing = request("GET", "/api/echo", "Connection: close, Upgrade", "Upgrade: h2c")
    assert b"connection: close" in exchange(server, closing).lower()


def test_a_smuggled_length_is_refused_behind_an_upgrade_too(server: Server) -> None:
    lengths = ("Content-Length: 5", "Transfer-Encoding: chunked")
    both = request("POST", "/api/echo", *H2C, *lengths, body=b"0\r\n\r\n")
    assert exchange(server, both).startswith(b"HTTP/1.1 400")


def test_the_limits_of_a_head_hold_behind_an_upgrade_too(server: Server) -> None:
    many = (f"X-{number}: 1" for number in range(300))
    answer = exchange(server, request("GET", "/api/echo", *H2C, *many))
    assert answer.startswith(b"HTTP/1.1 431")


def test_a_tunnel_is_not_served(server: Server) -> None:
    tunnel = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert exchange(server, tunnel).startswith(b"HTTP/1.1 405")


def test_an_upgrade_that_nobody_serves_is_no_warning(server: Server) -> None:
    before = server.log.read_text().count("pgrade")
    exchange(server, request("GET", "/api/echo", *H2C, "Connection: close"))
    assert server.log.read_text().count("pgrade") == before


def test_curl_posts_with_http2(server: Server) -> None:
    curl = ["curl", "--silent", "--http2", "--data", "hello", f"{server.url}/api/echo"]
    for _ in range(2):
        answer = subprocess.run(curl, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
        assert b'"body": "hello"' in answer.stdout


def test_a_stock_java_client_posts(server: Server, tmp_path: Path) -> None:
    if not (shutil.which("java") and shutil.which("javac")):
        if "REQUIRE_JDK" in os.environ:
            pytest.fail("REQUIRE_JDK is set, and there is no JDK: install one, as .ci/run does")
        pytest.skip("NOT TESTED: Java's HttpClient, since there is no JDK (javac) here")
    (tmp_path / "Post.java").write_text(JAVA)
    subprocess.run(["javac", "Post.java"], cwd=tmp_path, check=True)
    java = ["java", "-cp", str(tmp_path), "Post", f"{server.url}/api/echo"]
    said = subprocess.run(java, check=True, capture_output=True, text=True, timeout=120).stdout
    lines = said.splitlines()
    assert [line.split()[0] for line in lines] == ["200"] * 6, said[:2000]
    assert all('"body": "hello"' in line for line in lines[:2])
    assert all('"size": 300000' in line for line in lines[2:4])


UPGRADE = request("GET", "/ws", "Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize("parts", [1, 2, 7], ids=["at once", "in two parts", "in seven parts"])
async def test_an_upgrade_waits_for_the_answer_before_it(parts: int) -> None:
    """Else the answer is sent behind the 101, as if it were a frame."""
    may_answer = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first"})

    async with connected(ConnectionLimits(conf(), 100), app) as (reader, writer):
        writer.write(request("GET", "/slow"))
        size = len(UPGRADE) // parts + 1
        for start in range(0, len(UPGRADE), size):
            writer.write(UPGRADE[start : start + size])
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.1, may_answer.set)
        first = await reader.readuntil(b"first")
        assert first.startswith(b"HTTP/1.1 200")
        assert b"101 Switching" not in first
        assert b"101 Switching" in await reader.readuntil(b"Protocols")


async def test_an_upgrade_of_http_1_0_is_ignored() -> None:
    """A proxy that speaks HTTP/1.0 would take what follows the 101 for the answer to a request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"plain"})

    async with connected(ConnectionLimits(conf(), 100), app) as (reader, writer):
        writer.write(UPGRADE.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert (await reader.readuntil(b"plain")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("size", [1, 100_000])
async def test_what_a_client_sends_behind_its_upgrade_is_not_parsed_as_a_request(size: int) -> None:
    """It must wait for the 101 (RFC 6455 section 4.1)."""
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])

    async with connected(ConnectionLimits(conf(), 100), app) as (reader, writer):
        behind = request("GET", "/smuggled")
        writer.write(UPGRADE + behind * (size // len(behind) + 1))
        assert b"101 Switching" in await reader.readuntil(b"Protocols\r\n\r\n")
        writer.write_eof()
        # A reset says the same.
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    assert asked == []


async def _upgraded(limits: ConnectionLimits, streams: Streams) -> Any:
    """The only connection of the server, after its upgrade."""
    reader, writer = streams
    writer.write(UPGRADE)
    assert (await reader.readline()).startswith(b"HTTP/1.1 101")
    (websocket,) = limits.open
    assert isinstance(websocket, Handed)
    return websocket


async def _until_closed(limits: ConnectionLimits, reader: asyncio.StreamReader) -> None:
    """Wait until the client and the count have lost the connection."""
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    while limits.open:  # noqa: ASYNC110  the connection is lost in the loop's own time
        await asyncio.sleep(0.01)


async def test_a_connection_that_becomes_a_websocket_stays_counted() -> None:
    limits = ConnectionLimits(conf(), 100)
    async with connected(limits) as streams:
        websocket = await _upgraded(limits, streams)
        assert not limits.idle

        websocket.evict()
        await _until_closed(limits, streams[0])


async def test_a_connection_that_becomes_a_websocket_stays_limited() -> None:
    limits = ConnectionLimits(conf(), 100)
    async with connected(limits) as streams:
        websocket = await _upgraded(limits, streams)
        # More than the kernel takes of a client that reads nothing.
        websocket.transport.write(bytes(64 * 1024 * 1024))
        now = asyncio.get_running_loop().time()
        for passed in (0.0, 1.0, limits.write_timeout):
            websocket.check_time(now + passed)
        assert not websocket.transport.is_closing()

        websocket.check_time(now + limits.write_timeout + 1.0)
        assert websocket.transport.is_closing()
        await _until_closed(limits, streams[0])
