"""Streams: a large body is read in pieces, and is bounded as a call is."""

import asyncio
import math
import time
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from chaos import MEGABYTE, Chaos, opened, tasks, until

from offload.fanout import CircuitBreaker, DeadlineExceeded, Retry, TooLarge, Upstream
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(30)


async def test_a_large_body_passes_without_being_held_in_memory(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        tracemalloc.start()
        size = 0
        async with upstream.stream("/huge", max_bytes=2048 * MEGABYTE, within=60) as response:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > 64 * MEGABYTE:
                    break
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * MEGABYTE
        await until(lambda: not chaos.open and not tasks())


async def test_a_stream_without_a_time_limit_is_read(chaos: Chaos) -> None:
    async with (
        opened(chaos.url) as upstream,
        upstream.stream("/ok", max_bytes=MEGABYTE, within=math.inf) as response,
    ):
        assert await response.aread()


@pytest.mark.parametrize("fault", ["endless", "bomb"])
async def test_a_body_that_is_too_large_is_cut_off(chaos: Chaos, fault: str) -> None:
    async with opened(chaos.url) as upstream:
        size = 0
        with pytest.raises(TooLarge):
            async with upstream.stream(f"/{fault}", max_bytes=3 * MEGABYTE, within=60) as response:
                async for chunk in response.aiter_bytes():
                    size += len(chunk)
        assert size <= 3 * MEGABYTE
        await until(lambda: not chaos.open)


async def test_a_body_that_drips_ends_at_the_deadline_and_gives_its_slot_back(chaos: Chaos) -> None:
    async with opened(chaos.url, max_in_flight=1) as upstream:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            async with upstream.stream("/drip", max_bytes=MEGABYTE, within=0.3) as response:
                await response.aread()
        assert time.monotonic() - started < 5
        assert not upstream.client().bulkhead.full
        await until(lambda: not chaos.open)


async def test_a_time_limit_ends_nothing_that_the_reader_does_between_two_pieces(
    chaos: Chaos,
) -> None:
    """Such as sending a piece on to a client that reads slowly: it was a bare CancelledError."""

    async def passed_on(upstream: Upstream) -> AsyncIterator[bytes]:
        async with upstream.stream("/huge", max_bytes=2048 * MEGABYTE, within=0.2) as response:
            async for piece in response.aiter_bytes():
                yield piece

    async with opened(chaos.url, max_in_flight=1) as upstream:
        pieces = passed_on(upstream)
        assert await anext(pieces)
        await asyncio.sleep(0.3)
        # The upstream waits for nobody meanwhile, and others have the slot.
        assert not upstream.client().bulkhead.full
        await until(lambda: not chaos.open)
        with pytest.raises(DeadlineExceeded, match="within"):
            await anext(pieces)
        assert not tasks()


async def test_a_head_that_comes_after_the_time_limit_is_a_deadline_exceeded(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        with pytest.raises(DeadlineExceeded, match="within"):
            async with upstream.stream("/silent", max_bytes=1, within=0.1):
                pass
        await until(lambda: not chaos.open)


async def test_an_upstream_that_never_starts_to_answer_opens_the_breaker(chaos: Chaos) -> None:
    async with opened(
        chaos.url,
        attempt_timeout=0.1,
        retry=Retry(attempts=1),
        breaker=CircuitBreaker(minimum_throughput=2),
    ) as upstream:
        for _ in range(2):
            with pytest.raises(httpx.TimeoutException):
                async with upstream.stream("/silent", max_bytes=1, within=5):
                    pass
        assert upstream.client().circuit.state == "open"


async def test_an_error_status_is_raised_and_a_timeout_of_the_reader_stays_its_own(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url) as upstream:
        with pytest.raises(httpx.HTTPStatusError):
            async with upstream.stream("/missing", max_bytes=1, within=5):
                pass
        with pytest.raises(TimeoutError, match="mine"):
            async with upstream.stream("/ok", max_bytes=1000, within=5):
                raise TimeoutError("mine")
