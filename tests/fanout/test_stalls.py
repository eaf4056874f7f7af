"""What blocks the event loop of this service is not blamed on its upstreams."""

import asyncio
import logging
import time

import pytest
from chaos import Chaos, opened

from offload.fanout import CircuitBreaker, Retry, breaker_states

pytestmark = pytest.mark.timeout(30)

ATTEMPT_SECONDS = 0.5
LIMITS = {
    "attempt_timeout": ATTEMPT_SECONDS,
    "timeout": 20.0,
    "retry": Retry(attempts=1),
    "breaker": CircuitBreaker(minimum_throughput=5),
    "single_flight": False,
}


def block_soon(seconds: float) -> None:
    """Stop the event loop, as a view does that computes."""
    asyncio.get_running_loop().call_later(0.1, time.sleep, seconds)


async def test_a_view_that_blocks_the_loop_does_not_cut_off_an_upstream_that_is_well(
    chaos: Chaos, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call was a timeout, though its response had come, and the breaker opened for 5 s."""
    chaos.delay = 0.2
    async with opened(chaos.url, **LIMITS) as upstream:
        block_soon(3 * ATTEMPT_SECONDS)
        outcomes = await asyncio.gather(*[upstream.get_json("/slow").outcome() for _ in range(10)])
        assert {outcome.status for outcome in outcomes} == {"ok"}
        assert breaker_states() == {"chaos": "closed"}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_an_upstream_that_hangs_opens_the_breaker_though_the_loop_was_blocked_meanwhile(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url, **LIMITS) as upstream:
        block_soon(2 * ATTEMPT_SECONDS)
        started = time.monotonic()
        outcomes = await asyncio.gather(
            *[upstream.get_json("/silent").outcome() for _ in range(10)]
        )
        took = time.monotonic() - started
        assert {outcome.status for outcome in outcomes} == {"timeout"}
        assert breaker_states() == {"chaos": "open"}
    assert took >= 3 * ATTEMPT_SECONDS - 0.1, "the attempts had their time beside the block"
