"""An upstream that sends very much at once delays no other, and what it sends is read rightly."""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest
import uvloop
from aiohttp.client_proto import ResponseHandler
from chaos import Chaos, opened

from offload.fanout import connector

pytestmark = pytest.mark.timeout(60)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
# A block of `deflate` with nothing in it, as one chunk: the decompressor is called for each.
EMPTY_BLOCK = b"5\r\n\x00\x00\x00\xff\xff\r\n"
# The loop has more turns than this while a call waits for its attempt's end.
FEW_TURNS = 10


@contextmanager
def upstream_of(
    head: bytes,
    piece: bytes,
    times: int | None = None,
    *,
    closes: bool = False,
    heard: list[bytes] | None = None,
) -> Iterator[str]:
    """An upstream in threads: it answers each connection with these bytes, also without end.

    Args:
        head: sent once.
        piece: sent `times` times behind it.
        times: None is without end.
        closes: whether it closes the connection behind that.
        heard: what clients sent is added to it.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = client.recv(65536)
            if heard is not None:
                heard.append(request)
            client.sendall(head)
            sent = 0
            while times is None or sent < times:
                client.sendall(piece)
                sent += 1
            if not closes:
                # Until the client closes.
                client.recv(1)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # `close` alone does not end an `accept` that waits.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextlib.asynccontextmanager
async def counted_turns() -> AsyncIterator[list[int]]:
    """How often another task of the loop had its turn meanwhile."""
    turns = [0]

    async def count() -> None:
        while True:
            await asyncio.sleep(0)
            turns[0] += 1

    counting = asyncio.create_task(count())
    yield turns
    counting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await counting


def test_a_flood_of_compressed_nothing_leaves_the_loop_to_others() -> None:
    """On uvloop, which reads megabytes in one turn."""

    async def flooded() -> None:
        limits = {"attempt_timeout": 2.0, "timeout": 4.0}
        async with opened(url, **limits) as upstream, counted_turns() as turns:
            call = upstream.get_json("/").with_limits(attempts=1)
            assert (await call.outcome()).status == "timeout"
            assert turns[0] > FEW_TURNS

    head = CHUNKED + b"Content-Encoding: deflate\r\n\r\n"
    with (
        upstream_of(head, EMPTY_BLOCK * 10_000) as url,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(flooded())


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_response_that_is_parsed_in_turns_is_the_same(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(connector, "PARSE_SECONDS", -1.0)
    parsed_in: list[int] = []
    parse = ResponseHandler.data_received

    def counted_parse(self: ResponseHandler, data: bytes) -> None:
        assert len(data) <= connector.PARSED_AT_ONCE_BYTES
        parsed_in.append(turns[0])
        parse(self, data)

    monkeypatch.setattr(ResponseHandler, "data_received", counted_parse)
    value = [f"{number:x}" * 7 for number in range(20_000)]
    body = json.dumps(value).encode()
    if encoding == "gzip":
        body = gzip.compress(body, compresslevel=1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Encoding: %b\r\n\r\n" % (
        len(body),
        encoding.encode(),
    )
    with upstream_of(head + body, b"", times=0) as url:
        async with opened(url) as upstream, counted_turns() as turns:
            assert await upstream.get_json("/") == value
    parts = len(body) // connector.PARSED_AT_ONCE_BYTES
    assert len(set(parsed_in)) > parts / 2 > FEW_TURNS


async def test_what_waits_to_be_parsed_is_no_answer_to_the_next_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The response has been read, and what came behind it has not."""
    monkeypatch.setattr(connector, "PARSE_SECONDS", -1.0)
    body = b"1" + b" " * (connector.PARSED_AT_ONCE_BYTES - 1)
    first = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    forged = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"
    with upstream_of(first + forged * 5, b"", times=0) as url:
        async with opened(url) as upstream:
            assert [await upstream.get_json("/") for _ in range(5)] == [1] * 5


async def test_a_few_interim_responses_come_before_the_response(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        assert await upstream.get_json("/early_hints") == {}
