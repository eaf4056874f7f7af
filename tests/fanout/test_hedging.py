"""Hedged requests: a second request for a call that takes longer than usual."""

import asyncio
import gc
import random
from statistics import quantiles

import pytest
from test_protections import Script, declare

from offload.fanout import Hedge, Retry
from offload.fanout.context import CallContext
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(60)


async def bimodal(hedge: Hedge | None) -> tuple[float, int]:
    """The p99 in ms, and the requests sent, of 1,000 calls.

    The upstream takes 20 times as long for 2 of 100 requests.
    """
    chance = random.Random(7)
    sent = 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        await asyncio.sleep(1.0 if chance.random() < 0.02 else 0.05)
        return httpx.Response(200, json={})

    # No request is cut off when the machine stalls: a second attempt would be counted, too.
    upstream = declare(hedge=hedge, max_in_flight=60, attempt_timeout=60, timeout=60)
    times: list[float] = []
    with upstream.using(httpx.MockTransport(answer)):

        async def client(number: int) -> None:
            calls = [
                upstream.get_json("/", params={"number": number, "turn": turn})
                for turn in range(25)
            ]
            times.extend([(await call.outcome()).ms for call in calls])

        await asyncio.gather(*(client(number) for number in range(40)))
    return quantiles(times, n=100)[98], sent


async def test_hedging_cuts_p99_below_a_third_for_a_twentieth_more_load() -> None:
    plain, sent = await bimodal(None)
    assert sent == 1000
    # Six tries: when the machine stalls, fast responses are slow, too, and use up the hedges.
    for _ in range(6):
        hedged, sent = await bimodal(Hedge())
        assert 1000 < sent <= 1050
        if hedged < plain / 3:
            return
    pytest.fail(f"p99 is {hedged:.0f} ms with hedging, {plain:.0f} without")


async def test_a_hedged_call_says_so_and_its_loser_is_cancelled() -> None:
    asked: list[str] = []
    ended: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        try:
            await asyncio.sleep(
                30.0 if asked.count("/slow") == 1 and request.url.path == "/slow" else 0.01
            )
        finally:
            ended.append(request.url.path)
        return httpx.Response(200, json={})

    upstream = declare(hedge=Hedge(budget_ratio=1.0), attempt_timeout=60, timeout=60)
    with upstream.using(httpx.MockTransport(answer)):
        for number in range(40):
            await upstream.get_json("/", params={"number": number})
        asked.clear()
        ended.clear()
        outcome = await upstream.get_json("/slow").outcome()
        assert (outcome.status, outcome.hedged, asked, ended) == (
            "ok",
            True,
            ["/slow"] * 2,
            ["/slow"] * 2,
        )
        assert outcome.ms < 20_000, "the loser was waited for"
        await upstream.post_json("/write", {})
        assert asked.count("/write") == 1, "a write was hedged"


async def test_a_hedged_request_uses_up_no_attempt_of_the_retry() -> None:
    script = Script(200)
    upstream = declare(
        hedge=Hedge(budget_ratio=1.0), retry=Retry(attempts=2, wait_initial=0.0), attempt_timeout=5
    )
    with upstream.using(httpx.MockTransport(script)):
        for number in range(20):
            await upstream.get_json("/", params={"number": number})
        script.requests.clear()
        script.answers, script.delay = [503], 0.5
        outcome = await upstream.get_json("/").outcome()
    assert (outcome.status, outcome.hedged, outcome.attempts) == ("error", True, 2)
    assert len(script.requests) == 4, "two attempts, each of them hedged"


async def test_an_outcome_tells_every_request_with_its_time_and_its_end() -> None:
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/usual":
            # So long no call is hedged, also where the machine stalls.
            await asyncio.sleep(0.2)
            return httpx.Response(200)

        # The first request fails, the retry never ends, and the hedged request succeeds.
        asked.append(request)
        if len(asked) == 2:
            await asyncio.Event().wait()
        return httpx.Response(503 if len(asked) == 1 else 200)

    upstream = declare(
        hedge=Hedge(budget_ratio=1.0),
        retry=Retry(wait_initial=0.0, budget_min_per_second=10),
        attempt_timeout=60,
        timeout=60,
    )
    with upstream.using(httpx.MockTransport(answer)):
        usual = [upstream.request("GET", "/usual", params={"number": n}) for n in range(20)]
        await asyncio.gather(*(call.outcome() for call in usual))
        outcome = await upstream.request("GET", "/").outcome()

    first, retry, hedged = outcome.requests
    assert [(each.status, each.is_hedge, each.error) for each in outcome.requests] == [
        ("error", False, "HTTP 503"),
        ("cancelled", False, None),
        ("ok", True, None),
    ]
    assert (outcome.attempts, outcome.hedged) == (2, True)
    assert 0 <= first.start_ms <= first.start_ms + first.ms <= retry.start_ms + 0.2
    assert retry.start_ms <= hedged.start_ms <= retry.start_ms + retry.ms
    assert hedged.start_ms + hedged.ms <= outcome.ms + 0.2


@pytest.mark.parametrize("first", ["slow", "failed"])
async def test_a_request_that_was_not_taken_leaves_nothing_to_the_garbage_collector(
    first: str,
) -> None:
    """Else a part of its body would wait for it."""
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/usual":
            return httpx.Response(200)
        asked.append(request)
        if len(asked) == 1 and first == "slow":
            await asyncio.Event().wait()
        return httpx.Response(503 if len(asked) == 1 else 200)

    upstream = declare(
        hedge=Hedge(budget_ratio=1.0), retry=Retry(wait_initial=0.0), attempt_timeout=5, timeout=5
    )
    with upstream.using(httpx.MockTransport(answer)):
        if first == "slow":
            for number in range(20):
                await upstream.request("GET", "/usual", params={"number": number})
        gc.collect()
        gc.disable()
        try:
            await upstream.request("GET", "/")
            assert len(asked) == 2
            asked.clear()
            kept = [each for each in gc.get_objects() if isinstance(each, CallContext)]
            assert not kept
        finally:
            gc.enable()
