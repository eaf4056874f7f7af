"""Calls and streams pass through the same protections."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY
from test_protections import QUICK, Script, declare

from offload.fanout import (
    CircuitBreaker,
    Hedge,
    Retry,
    Token,
    TokenAuth,
    Upstream,
    UpstreamError,
    breaker_states,
    deadline,
)
from offload.fanout.errors import status_of
from offload.fanout.http import httpx
from offload.fanout.propagation import DEADLINE_HEADER, propagate

pytestmark = pytest.mark.timeout(30)

Ask = Callable[[Upstream], Awaitable[str]]


async def call(upstream: Upstream) -> str:
    """The status of one call, which shares nothing with another."""
    return (await upstream.request("OPTIONS", "/").outcome()).status


async def stream(upstream: Upstream) -> str:
    """The status that a call would have that fails as this stream does."""
    try:
        async with upstream.stream("/", max_bytes=1000, within=5) as response:
            await response.aread()
    except (UpstreamError, httpx.HTTPError) as error:
        return status_of(error)
    return "ok"


both = pytest.mark.parametrize("ask", [call, stream])


@both
async def test_one_beyond_the_bulkhead_and_its_queue_is_refused(ask: Ask) -> None:
    upstream = declare(max_in_flight=1, max_waiting=1)
    with upstream.using(httpx.MockTransport(Script(200, delay=0.05))):
        statuses = await asyncio.gather(*(ask(upstream) for _ in range(3)))
        assert sorted(statuses) == ["ok", "ok", "rejected"]
        assert await ask(upstream) == "ok", "a slot was not given back"


@both
@pytest.mark.parametrize("fault", [503, httpx.ReadError("reset")])
async def test_a_passing_fault_is_tried_again(ask: Ask, fault: int | Exception) -> None:
    script = Script(fault, 200)
    upstream = declare(retry=QUICK)
    with upstream.using(httpx.MockTransport(script)):
        assert await ask(upstream) == "ok"
    assert len(script.requests) == 2


@both
async def test_retries_end_with_their_budget(ask: Ask) -> None:
    script = Script(503)
    upstream = declare(retry=Retry(wait_initial=0.0, budget_ratio=0.0, budget_min_per_second=0.1))
    with upstream.using(httpx.MockTransport(script)):
        assert await ask(upstream) == "error"
    assert len(script.requests) == 2, "one retry in ten seconds, and no other"


@both
async def test_the_rate_limit_holds_back_what_is_above_it(ask: Ask) -> None:
    script = Script(200)
    upstream = declare(rate=(1, 60))
    with upstream.using(httpx.MockTransport(script)):
        assert await ask(upstream) == "ok"
        with deadline(0.05):
            assert await ask(upstream) == "timeout"
    assert len(script.requests) == 1


@both
async def test_an_open_breaker_sends_nothing_and_says_so_in_the_log(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script(500)
    upstream = declare(retry=Retry(attempts=1), breaker=CircuitBreaker(minimum_throughput=2))
    with upstream.using(httpx.MockTransport(script)), caplog.at_level(logging.WARNING):
        assert breaker_states()["scripted"] == "closed"
        assert [await ask(upstream) for _ in range(3)] == ["error", "error", "open"]
        assert breaker_states()["scripted"] == "open"
    assert len(script.requests) == 2
    changes = [line for line in caplog.messages if "circuit breaker" in line]
    assert len(changes) == 1
    assert changes[0].startswith("Upstream scripted: circuit breaker open, was closed")


@both
async def test_a_slow_answer_counts_against_the_breaker(ask: Ask) -> None:
    upstream = declare(breaker=CircuitBreaker(minimum_throughput=2, slow_after=0.01))
    with upstream.using(httpx.MockTransport(Script(200, delay=0.02))):
        assert [await ask(upstream) for _ in range(3)] == ["ok", "ok", "open"]


@both
async def test_an_attempt_without_an_answer_ends_at_its_timeout(ask: Ask) -> None:
    script = Script(200, delay=60)
    retry = Retry(attempts=2, wait_initial=0.0)
    upstream = declare(attempt_timeout=0.05, timeout=60, retry=retry)
    with upstream.using(httpx.MockTransport(script)):
        started = time.monotonic()
        assert await ask(upstream) == "timeout"
        assert time.monotonic() - started < 20
    assert len(script.requests) == 2


@both
async def test_nothing_outlives_the_deadline_around_it(ask: Ask) -> None:
    script = Script(200, delay=60)
    upstream = declare(attempt_timeout=60, timeout=60)
    with upstream.using(httpx.MockTransport(script)), deadline(0.05):
        started = time.monotonic()
        assert await ask(upstream) == "timeout"
        # The stream's own limit is 5 s.
        assert time.monotonic() - started < 4.9
    assert script.busy == 0


@both
async def test_every_request_counts_as_an_attempt(ask: Ask) -> None:
    def attempts() -> float:
        labels = {"upstream": "scripted"}
        return REGISTRY.get_sample_value("offload_fanout_attempts_total", labels) or 0.0

    upstream = declare(retry=QUICK)
    with upstream.using(httpx.MockTransport(Script(503, 200))):
        before = attempts()
        assert await ask(upstream) == "ok"
    assert attempts() - before == 2


@both
async def test_every_outcome_is_counted(ask: Ask) -> None:
    def counted(name: str, **labels: str) -> float:
        labels["upstream"] = "scripted"
        return REGISTRY.get_sample_value(f"offload_fanout_{name}", labels) or 0.0

    def all_counts() -> list[float]:
        statuses = [counted("outcomes_total", status=each) for each in ("ok", "error", "open")]
        return [*statuses, counted("latency_seconds_count")]

    upstream = declare(retry=Retry(attempts=1), breaker=CircuitBreaker(minimum_throughput=2))
    with upstream.using(httpx.MockTransport(Script(200, 500))):
        before = all_counts()
        assert [await ask(upstream) for _ in range(4)] == ["ok", "error", "open", "open"]
        after = all_counts()
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 2, 2]


@both
async def test_the_upstream_is_told_the_time_that_is_left_and_the_trace(ask: Ask) -> None:
    script = Script(200)
    upstream = declare()
    with (
        upstream.using(httpx.MockTransport(script)),
        deadline(0.5),
        propagate({"HTTP_TRACEPARENT": "00-trace"}),
    ):
        await ask(upstream)
    headers = script.requests[0].headers
    assert 0 < int(headers[DEADLINE_HEADER]) <= 500
    assert headers["traceparent"] == "00-trace"


async def test_a_call_is_told_its_attempts_time_and_a_stream_the_time_to_its_last_byte() -> None:
    script = Script(200)
    upstream = declare(attempt_timeout=0.5)
    with upstream.using(httpx.MockTransport(script)):
        await call(upstream)
        await stream(upstream)
    told = [int(request.headers[DEADLINE_HEADER]) for request in script.requests]
    assert 0 < told[0] <= 500
    assert 4000 < told[1] <= 5000


async def test_a_stream_holds_its_slot_until_it_is_closed() -> None:
    upstream = declare(max_in_flight=1, max_waiting=0)
    with upstream.using(httpx.MockTransport(Script(200))):
        async with upstream.stream("/", max_bytes=1000, within=5):
            assert await call(upstream) == "rejected"
        assert await call(upstream) == "ok"


async def test_a_stream_that_has_begun_is_not_opened_a_second_time() -> None:
    script = Script(200)
    upstream = declare(retry=QUICK)
    with upstream.using(httpx.MockTransport(script)), pytest.raises(httpx.ReadError):
        async with upstream.stream("/", max_bytes=1000, within=5):
            raise httpx.ReadError("reset")
    assert len(script.requests) == 1


async def test_a_stream_is_not_hedged() -> None:
    script = Script(200)
    upstream = declare(hedge=Hedge(budget_ratio=1.0))
    with upstream.using(httpx.MockTransport(script)):
        # The quantile is known after twenty calls.
        for number in range(20):
            await upstream.get_json("/", params={"number": number})
        # Longer than any of them took, on a busy machine too.
        script.delay = 0.5
        assert (await upstream.get_json("/").outcome()).hedged
        script.requests.clear()
        assert await stream(upstream) == "ok"
    assert len(script.requests) == 1


def test_the_protections_stand_in_their_order_and_those_not_declared_are_left_out() -> None:
    def layers(upstream: Upstream) -> list[str]:
        with upstream.using(httpx.MockTransport(Script(200))):
            step: Any = upstream.client().pipeline
        names = [type(step).__name__]
        while step := getattr(step, "_inner", None):
            names.append(type(step).__name__)
        return [name.removesuffix("Strategy") for name in names]

    everywhere = ["Bulkhead", "Retry", "CircuitBreaker", "AttemptTimeout", "Send"]
    assert layers(declare()) == everywhere

    async def fetch() -> Token:
        raise AssertionError

    everything = layers(declare(rate=(1, 1), hedge=Hedge(), auth=TokenAuth(fetch)))
    assert everything == [
        *everywhere[:2],
        "Auth",
        "Hedging",
        "CircuitBreaker",
        "RateLimiter",
        *everywhere[3:],
    ]
