"""An encoded body is read whole, or is an error; and no encoding gets around `max_bytes`."""

import asyncio
import gzip
import time
import zlib

import pytest
from chaos import MEGABYTE, opened
from test_floods import upstream_of

from offload.fanout import TooLarge
from offload.fanout.decoding import MAX_PIECE_BYTES
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(30)

ROWS = "".join(f"{number};{number * 7919 % 104729}\n" for number in range(2000)).encode()


ZEROS = gzip.compress(bytes(64 * MEGABYTE))


def raw_deflate(data: bytes) -> bytes:
    """`deflate` without the frame that RFC 9110 asks for, as old servers send it."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODED = {
    "gzip": gzip.compress(ROWS),
    "x-gzip": gzip.compress(ROWS),
    "GZIP ": gzip.compress(ROWS),
    "identity, gzip": gzip.compress(ROWS),
    "deflate": zlib.compress(ROWS),
}
WHOLE = [
    *ENCODED.items(),
    ("deflate", raw_deflate(ROWS)),
    # Two members, as `cat a.gz b.gz` makes them.
    ("gzip", gzip.compress(ROWS[:500]) + gzip.compress(ROWS[500:])),
]


def head_of(encoding: str, framing: bytes) -> bytes:
    """The head of a response with this encoding."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: %b\r\n%b\r\n"
    return head % (encoding.encode(), framing)


def framed(encoding: str, body: bytes, framing: str) -> bytes:
    """A response whose end the client sees, in one of three ways."""
    if framing == "length":
        return head_of(encoding, b"Content-Length: %d\r\n" % len(body)) + body
    if framing == "chunked":
        half = len(body) // 2
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(each), each) for each in (body[:half], body[half:])
        )
        return head_of(encoding, b"Transfer-Encoding: chunked\r\n") + chunks + b"0\r\n\r\n"
    return head_of(encoding, b"") + body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize(("encoding", "body"), WHOLE)
async def test_an_encoded_body_is_decoded(encoding: str, body: bytes, framing: str) -> None:
    with upstream_of(framed(encoding, body, framing), b"", times=0, closes=True) as url:
        async with opened(url) as upstream:
            response = await upstream.request("GET", "/")
            assert response.content == ROWS
            async with upstream.stream("/", max_bytes=MEGABYTE, within=5) as stream:
                assert b"".join([piece async for piece in stream.aiter_bytes()]) == ROWS


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("lost", [1, 4, 9, 300])
@pytest.mark.parametrize("encoding", ENCODED)
async def test_an_encoded_body_without_its_end_is_an_error(
    encoding: str, lost: int, framing: str
) -> None:
    """The server that compressed it broke off, and the one that passes it on did not notice."""
    body = ENCODED[encoding][:-lost]
    with upstream_of(framed(encoding, body, framing), b"", times=0, closes=True) as url:
        async with opened(url) as upstream:
            outcome = await upstream.request("GET", "/").with_limits(attempts=1).outcome()
            assert outcome.status == "error", len(outcome.value.content)
            assert isinstance(outcome.error, httpx.RemoteProtocolError)
            with pytest.raises(httpx.RemoteProtocolError):
                async with upstream.stream("/", max_bytes=MEGABYTE, within=5) as stream:
                    await stream.aread()


@pytest.mark.parametrize("lost", [1, 4, 300])
async def test_raw_deflate_without_its_end_is_an_error(lost: int) -> None:
    with upstream_of(framed("deflate", raw_deflate(ROWS)[:-lost], "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            outcome = await upstream.request("GET", "/").with_limits(attempts=1).outcome()
            assert isinstance(outcome.error, httpx.RemoteProtocolError)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "identity, gzip"])
async def test_a_bomb_ends_at_the_limit(encoding: str) -> None:
    with upstream_of(framed(encoding, ZEROS, "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            with pytest.raises(TooLarge):
                async with upstream.stream("/", max_bytes=MEGABYTE, within=5) as stream:
                    async for piece in stream.aiter_bytes():
                        assert len(piece) <= MAX_PIECE_BYTES
            outcome = await upstream.request("GET", "/").with_limits(attempts=1).outcome()
            assert isinstance(outcome.error, TooLarge)


@pytest.mark.parametrize(
    "encoding", ["gzip, gzip", " gzip ,GZIP", "aws-chunked, gzip", "br", "zstd"]
)
async def test_what_nobody_asked_for_is_an_error(encoding: str) -> None:
    """httpx would decode it without a bound: 64 kB that were compressed twice are 64 MB."""
    body = gzip.compress(ZEROS)
    with upstream_of(framed(encoding, body, "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            with pytest.raises(httpx.RemoteProtocolError, match="was not asked for"):
                async with upstream.stream("/", max_bytes=MEGABYTE, within=5) as stream:
                    await stream.aread()
            outcome = await upstream.request("GET", "/").with_limits(attempts=1).outcome()
            assert isinstance(outcome.error, httpx.RemoteProtocolError)


@pytest.mark.parametrize("encoding", ["aws-chunked", "UTF-8", "identity", ""])
async def test_what_is_no_encoding_is_left_as_it_is(encoding: str) -> None:
    with upstream_of(framed(encoding, ROWS, "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            assert (await upstream.request("GET", "/")).content == ROWS
            async with upstream.stream("/", max_bytes=MEGABYTE, within=5) as stream:
                assert stream.headers["Content-Encoding"] == encoding
                assert b"".join([piece async for piece in stream.aiter_bytes()]) == ROWS


async def test_countless_members_leave_the_loop_to_others() -> None:
    """Each member of nothing costs a decompressor: 4 MB of them, on the loop that reads at once."""
    body = gzip.compress(b"") * 200_000
    with upstream_of(framed("gzip", body, "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            slowest = 0.0
            call = asyncio.ensure_future(upstream.request("GET", "/").outcome())
            while not call.done():
                before = time.perf_counter()
                await asyncio.sleep(0)
                slowest = max(slowest, time.perf_counter() - before)
            assert call.result().status in ("ok", "timeout")
            assert slowest < 0.2


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_body_of_nothing_needs_no_frame(encoding: str) -> None:
    """As many servers answer a HEAD, and some a GET."""
    with upstream_of(framed(encoding, b"", "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            assert (await upstream.request("GET", "/")).content == b""
            assert (await upstream.request("HEAD", "/")).content == b""


async def test_what_is_asked_for_is_what_can_be_read() -> None:
    asked: list[bytes] = []
    with upstream_of(
        framed("gzip", gzip.compress(b"1"), "length"), b"", times=0, heard=asked
    ) as url:
        async with opened(url) as upstream:
            assert await upstream.get_json("/") == 1
            await upstream.request("GET", "/", headers={"Accept-Encoding": "identity"})
    assert b"Accept-Encoding: gzip, deflate\r\n" in asked[0]
    assert b"Accept-Encoding: identity\r\n" in asked[1]


async def test_what_follows_the_last_member_is_an_error() -> None:
    with upstream_of(framed("gzip", gzip.compress(ROWS) + b"rest", "length"), b"", times=0) as url:
        async with opened(url) as upstream:
            outcome = await upstream.request("GET", "/").with_limits(attempts=1).outcome()
            assert isinstance(outcome.error, httpx.RemoteProtocolError)
