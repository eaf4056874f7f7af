"""A caller that leaves cancels its calls, and the upstream stays as usable as it was."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import urls
import uvicorn
from chaos import Chaos, opened, tasks, until

from offload.fanout import CircuitBreaker, Upstream
from offload.serving import Application

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("single_flight", [True, False])
async def test_the_next_call_succeeds_at_once_after_ten_thousand_cancelled_ones(
    chaos: Chaos, single_flight: bool
) -> None:
    chaos.delay = 0.02
    async with opened(
        chaos.url,
        max_in_flight=5,
        max_waiting=100,
        single_flight=single_flight,
        attempt_timeout=20,
        timeout=20,
    ) as upstream:

        async def leave_early(number: int, seconds: float) -> None:
            call = upstream.get_json("/slow", params={"number": number % 50})
            try:
                async with asyncio.timeout(seconds):
                    await call.outcome()
            except TimeoutError:
                pass

        # In turn: the callers leave at random, or all at one instant, as at a deadline.
        for batch in range(100):
            instants = [0.02 if batch % 2 else random.uniform(0, 0.03) for _ in range(100)]
            await asyncio.gather(
                *(leave_early(number, seconds) for number, seconds in enumerate(instants))
            )

        outcome = await upstream.get_json("/ok").outcome()
        assert (outcome.status, outcome.attempts) == ("ok", 1)
        assert outcome.ms < 10_000
        assert upstream.client().circuit.state == "closed"
        assert upstream.client().bulkhead.waiting == 0
        await until(lambda: not tasks())
        full = [upstream.get_json("/slow", params={"slot": slot}).outcome() for slot in range(5)]
        assert [outcome.status for outcome in await asyncio.gather(*full)] == ["ok"] * 5, (
            "no slot was lost"
        )
        await until(lambda: len(chaos.open) <= 5)


async def test_callers_that_leave_do_not_open_the_breaker(chaos: Chaos) -> None:
    async with opened(chaos.url, breaker=CircuitBreaker(minimum_throughput=3)) as upstream:
        for number in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await upstream.get_json("/silent", params={"number": number})
        assert upstream.client().circuit.state == "closed"
        assert (await upstream.get_json("/ok").outcome()).status == "ok"


@asynccontextmanager
async def served(url: str, count: int) -> AsyncIterator[int]:
    """Run a real service whose view asks `count` upstreams at once, and yield its port."""
    server = uvicorn.Server(uvicorn.Config(Application(), port=0, lifespan="on", log_config=None))
    async with AsyncExitStack() as stack:
        for number in range(count):
            urls.sources[f"source{number}"] = upstream = Upstream(f"source{number}", base_url=url)
            await stack.enter_async_context(upstream.open())
        stack.callback(urls.sources.clear)
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await serving


async def test_a_client_that_leaves_cancels_every_upstream_call_of_its_request(
    chaos: Chaos,
) -> None:
    async with served(chaos.url, 5) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /fan?ask=/silent HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: chaos.seen["GET /silent"] == 5)
        writer.close()
        await until(lambda: chaos.left["GET /silent"] == 5)
        await until(lambda: not chaos.open)
    assert chaos.seen["GET /silent"] == 5, "nothing was tried again for a client that had left"
