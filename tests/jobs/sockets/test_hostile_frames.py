"""Frames that a client sends too early, that are no text, or that it sends without reading."""

import asyncio
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.conftest import Lab
from offload.serving.types import Receive, Scope, Send

from .client import closed, frame, hear, opened, raw_socket, say
from .conftest import ENVIRONMENT
from .in_process import asked, until

UNMASKED = b"\x81\x02{}"
NO_TEXT = frame(1, b"\xff\xfe")
CLOSE = frame(8, struct.pack("!H", 1000))


def close_frame(code: int) -> bytes:
    """How a close frame with this code begins, behind its length."""
    return struct.pack("!H", code)


@pytest.mark.parametrize(
    ("sent", "code"),
    [(UNMASKED, 1002), (NO_TEXT, 1007), (frame(3), 1002), (frame(0, b"x"), 1002), (CLOSE, 1000)],
    ids=["unmasked", "no text", "no opcode", "no beginning", "a close"],
)
async def test_what_is_sent_ahead_of_the_answer_is_judged_behind_it(sent: bytes, code: int) -> None:
    """It raised an AssertionError in the server, for anybody and without a login."""
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with asked(app) as client:
        client.writer.write(sent)
        asyncio.get_running_loop().call_later(0.1, may_accept.set)
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        last = await client.rest()
        assert last[:1] == b"\x88"
        assert last[2:4] == close_frame(code)
    assert not client.errors


async def test_a_message_that_is_sent_ahead_of_the_answer_is_received() -> None:
    may_accept, received = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await send({"type": "websocket.accept"})
        for _ in range(3):
            received.append(await receive())

    async with asked(app) as client:
        client.writer.write(frame(1, b"one") + frame(9) + frame(1, b"two"))
        asyncio.get_running_loop().call_later(0.1, may_accept.set)
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        await client.rest()
    assert [each.get("text") for each in received] == [None, "one", "two"]
    assert not client.errors


async def _send_on(send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "text": "x" * 1000})


async def test_nothing_is_read_from_a_client_that_does_not_read_its_answers() -> None:
    """An application that reads on made the server read on: each ping was answered, and kept."""
    may_send, may_read, read = asyncio.Event(), asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await may_send.wait()
        sending = asyncio.create_task(_send_on(send))
        await may_read.wait()
        while (message := await receive())["type"] == "websocket.receive":
            read.append(message)
        sending.cancel()

    async with asked(app) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        transport: Any = client.served.transport
        client.writer.write(frame(1, b"one") + frame(1, b"two"))
        await until(lambda: client.served.read_paused)
        may_send.set()
        # Above 64 kB the application has to wait, until 16 kB are left.
        await until(lambda: transport.get_write_buffer_size() > 20 * 1024)
        await asyncio.sleep(0.1)
        held = transport.get_write_buffer_size()
        may_read.set()
        await until(lambda: len(read) == 2)
        # As many as a client may send in half a second.
        client.writer.write(frame(9, b"p" * 125) * 400)
        await asyncio.sleep(0.3)
        assert transport.get_write_buffer_size() <= held
    assert not client.errors


@pytest.mark.parametrize(
    "sent",
    [NO_TEXT, frame(1, b"\xe2", fin=False) + frame(0, b"\x28\xa1"), NO_TEXT + CLOSE],
    ids=["whole", "fragments", "before a close"],
)
def test_a_text_that_is_no_utf_8_closes_the_socket_and_is_no_error_of_the_service(
    web: Lab, token: str, sent: bytes
) -> None:
    with raw_socket(web, token) as client:
        client.sendall(sent)
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received[2:4] in (close_frame(1007), close_frame(1000))
    assert "Traceback" not in web.log("web")


# Messages, whose answers have some 1,000 bytes each.
BATCH = 40


def unread_of(web: Lab, client: Any) -> int:
    """Bytes that the kernel has from the server for this client."""
    server, mine = (f":{port:04X}" for port in (web.port, client.getsockname()[1]))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        sent, received = (int(each, 16) for each in queues.split(":"))
        if local.endswith(server) and remote.endswith(mine):
            on_its_way = sent
        elif local.endswith(mine) and remote.endswith(server):
            arrived = received
    return on_its_way + arrived


def test_a_client_that_closes_and_does_not_read_breaks_no_stop(web: Lab, token: str) -> None:
    """The server ended with a traceback, and cut all others off without a close."""
    process = web.processes["web"]
    message = frame(1, b'{"' + b"k" * 200 + b'": 1, "type": "ping", "' + b"l" * 200 + b'": 2}')
    with opened(web, token) as neighbour, raw_socket(web, token, receive_buffer=4096) as client:
        client.sendall(message)
        answer, sent = len(client.recv(65536)), 0
        while sent - unread_of(web, client) < answer:
            # Together less than the 64 kB from which on nothing is read, not even the close.
            client.sendall(message * BATCH)
            sent += BATCH * answer
            # The answers are made one after the other.
            web.until(lambda: _is_still(web, client), "the answers")
        client.sendall(CLOSE)
        say(neighbour, "ping")
        assert hear(neighbour)["type"] == "pong"
        process.send_signal(signal.SIGTERM)
        assert closed(neighbour)[0] == 1012
        assert process.wait(60) in (0, -signal.SIGTERM)
    assert "Traceback" not in web.log("web")
    web.web(**ENVIRONMENT)


def _is_still(web: Lab, client: Any) -> bool:
    before = unread_of(web, client)
    time.sleep(0.02)
    return unread_of(web, client) == before
