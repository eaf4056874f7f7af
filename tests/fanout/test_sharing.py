"""Single flight, cache and stale responses."""

import asyncio
from collections import defaultdict
from contextvars import ContextVar

import pytest
from chaos import until
from test_protections import Script, declare

from offload.fanout import Cache, CircuitBreaker, Retry, Upstream, deadline, gather
from offload.fanout.http import httpx

pytestmark = pytest.mark.timeout(60)


async def ask(upstream: Upstream, times: int, **headers: str) -> list[str]:
    calls = [upstream.get_json("/prices", headers=headers).outcome() for _ in range(times)]
    return [outcome.status for outcome in await asyncio.gather(*calls)]


def age(upstream: Upstream, seconds: float) -> None:
    """Make all kept responses older."""
    cache = upstream.client()._cache
    assert cache is not None
    entries = cache._entries
    for key, (response, stored_at) in entries.items():
        entries[key] = response, stored_at - seconds


async def test_a_hundred_equal_reads_at_once_are_one_upstream_call() -> None:
    script = Script(200, delay=0.05)
    upstream = declare(max_in_flight=1, max_waiting=0)
    with upstream.using(httpx.MockTransport(script)):
        assert await ask(upstream, 100) == ["ok"] * 100
        assert len(script.requests) == 1
        await ask(upstream, 1)
        assert len(script.requests) == 2, "a call that is over is not shared: this is no cache"


async def test_a_call_is_never_shared_across_identities() -> None:
    script = Script(200, delay=0.05)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        await asyncio.gather(
            ask(upstream, 3, Authorization="Bearer alice"),
            ask(upstream, 3, Authorization="Bearer bob"),
        )
    assert sorted(request.headers["Authorization"] for request in script.requests) == [
        "Bearer alice",
        "Bearer bob",
    ]


async def test_the_identity_that_auth_gives_separates_calls_too() -> None:
    script = Script(200, delay=0.05)
    users = iter(["alice", "bob"])
    upstream = declare(auth=lambda: f"Bearer {next(users)}")
    with upstream.using(httpx.MockTransport(script)):
        await ask(upstream, 2)
    assert len(script.requests) == 2


async def test_writes_are_never_shared() -> None:
    script = Script(200, delay=0.05)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        await asyncio.gather(*(upstream.post_json("/orders", {}).outcome() for _ in range(5)))
    assert len(script.requests) == 5


async def test_a_read_after_a_write_does_not_join_a_read_from_before_its_end() -> None:
    asked: list[str] = []
    may_answer: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        await may_answer[request.method].wait()
        return httpx.Response(200, json={})

    upstream = declare(attempt_timeout=60, timeout=60)
    with upstream.using(httpx.MockTransport(answer)):
        writing = asyncio.create_task(upstream.post_json("/orders", {}).outcome())
        await until(lambda: asked == ["POST"])
        # This read may still see what was there before the write.
        before = asyncio.create_task(ask(upstream, 1))
        await until(lambda: asked == ["POST", "GET"])
        may_answer["POST"].set()
        await writing
        after = asyncio.create_task(ask(upstream, 1))
        await until(lambda: asked == ["POST", "GET", "GET"])
        may_answer["GET"].set()
        assert await before == await after == ["ok"]


async def test_a_shared_call_outlives_its_first_caller_and_ends_with_its_last() -> None:
    script = Script(200, delay=0.2)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        first, second = (asyncio.create_task(ask(upstream, 1)) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == ["ok"]
        with deadline(0.05):
            assert await ask(upstream, 2) == ["timeout"] * 2
        assert (len(script.requests), script.busy) == (2, 0)


async def test_a_shared_call_runs_in_nobodys_context_and_a_write_in_its_callers() -> None:
    caller = ContextVar("caller", default="nobody")
    found = []

    def answer(request: httpx.Request) -> httpx.Response:
        found.append((request.method, caller.get()))
        return httpx.Response(200, json={})

    upstream = declare()
    caller.set("alice")
    with upstream.using(httpx.MockTransport(answer)):
        await upstream.get_json("/")
        await upstream.post_json("/", {})
    assert found == [("GET", "nobody"), ("POST", "alice")]


async def test_a_call_that_nobody_wants_any_more_is_not_joined_while_it_ends() -> None:
    upstream = declare()
    with upstream.using(httpx.MockTransport(Script(200, delay=0.1))):
        first = asyncio.create_task(ask(upstream, 1))
        await asyncio.sleep(0.02)
        first.cancel()
        assert await asyncio.create_task(ask(upstream, 1)) == ["ok"]


async def test_a_hurried_caller_does_not_hurry_those_who_share_its_call() -> None:
    upstream = declare()
    with upstream.using(httpx.MockTransport(Script(200, delay=0.1))):
        with deadline(0.03):
            hurried = asyncio.create_task(ask(upstream, 1))
            await asyncio.sleep(0)
        assert await ask(upstream, 1) == ["ok"]
        assert await hurried == ["timeout"]


async def test_a_fresh_answer_stands_in_for_a_call_and_a_stale_one_for_a_failed_call() -> None:
    script = Script(200, 500)
    upstream = declare(cache=Cache(fresh_for=60, stale_for=600), retry=Retry(attempts=1))
    with upstream.using(httpx.MockTransport(script)):
        call = upstream.get_json("/prices")
        assert (await call.outcome()).age == 0.0
        fresh = await call.outcome()
        assert (fresh.status, fresh.attempts, len(script.requests)) == ("ok", 0, 1)
        assert fresh.age > 0.0
        age(upstream, 60)
        stale = await call.outcome()
        assert (stale.status, stale.value, stale.attempts) == ("stale", {}, 1)
        assert 60 <= stale.age < 120
        assert isinstance(stale.error, httpx.HTTPStatusError)
        outcomes = await gather({"prices": call}, required={"prices"})
        assert outcomes.sources()["prices"]["age"] >= 60
        other = await upstream.get_json(
            "/prices", headers={"Authorization": "Bearer bob"}
        ).outcome()
        assert other.status == "error", "one caller's answer was given to another"


async def test_a_stale_answer_stands_in_when_the_breaker_is_open_until_it_is_too_old() -> None:
    upstream = declare(
        cache=Cache(stale_for=600),
        retry=Retry(attempts=1),
        breaker=CircuitBreaker(minimum_throughput=2, break_duration=60),
    )
    with upstream.using(httpx.MockTransport(Script(200, 500))):
        assert [(await ask(upstream, 1))[0] for _ in range(4)] == ["ok", "stale", "stale", "stale"]
        assert upstream.client().circuit.state == "open"
        age(upstream, 600)
        assert await ask(upstream, 1) == ["open"]


async def test_an_answer_kept_for_a_call_that_reads_it_otherwise_is_not_forced_on_another() -> None:
    upstream = declare(cache=Cache(fresh_for=60), retry=Retry(attempts=1))
    with upstream.using(httpx.MockTransport(Script(200))):
        assert await upstream.get_json("/prices") == {}
        outcome = await upstream.get_json("/prices").into(list[int]).outcome()
    assert (outcome.status, type(outcome.error).__name__) == ("error", "Undecodable")


async def test_the_cache_keeps_no_more_than_it_may_and_nothing_marked_no_store() -> None:
    cache = Cache(fresh_for=60, max_entries=2)
    script = Script(200)
    upstream = declare(cache=cache)
    with upstream.using(httpx.MockTransport(script)):
        for path in ("/a", "/b", "/c", "/c", "/a"):
            await upstream.get_json(path)
        assert [request.url.path for request in script.requests] == ["/a", "/b", "/c", "/a"]
    # Directives have no case (RFC 9111, section 5.2).
    script.headers["Cache-Control"] = "private, No-Store"
    with upstream.using(httpx.MockTransport(script)):
        await upstream.get_json("/a")
        assert (await upstream.get_json("/a").outcome()).attempts == 1


@pytest.mark.parametrize("fault", [429, 500, 503, httpx.ReadError("x"), httpx.ReadTimeout("x")])
async def test_a_stale_answer_stands_in_for_a_fault_of_the_source(fault: int | Exception) -> None:
    upstream = declare(cache=Cache(), retry=Retry(attempts=1))
    with upstream.using(httpx.MockTransport(Script(200, fault))):
        assert [(await ask(upstream, 1))[0] for _ in range(2)] == ["ok", "stale"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_a_stale_answer_does_not_hide_that_a_right_or_a_thing_is_gone(status: int) -> None:
    script = Script(200, status, 503)
    upstream = declare(cache=Cache(), retry=Retry(attempts=1))
    with upstream.using(httpx.MockTransport(script)):
        statuses = [(await ask(upstream, 1))[0] for _ in range(3)]
        assert statuses == ["ok", "error", "error"], (
            "what is gone does not come back with an outage"
        )


@pytest.mark.parametrize("status", [200, 500])
async def test_a_write_makes_the_upstream_forget_what_was_read_before(status: int) -> None:
    script = Script(200, status, 200)
    upstream = declare(cache=Cache(fresh_for=60), retry=Retry(attempts=1))
    with upstream.using(httpx.MockTransport(script)):
        await ask(upstream, 2)
        await upstream.request("PUT", "/prices", idempotent=False).outcome()
        await ask(upstream, 2)
    assert [request.method for request in script.requests] == ["GET", "PUT", "GET"]


async def test_a_read_from_before_the_end_of_a_write_is_not_kept() -> None:
    script = Script(200, delay=0.1)
    upstream = declare(cache=Cache(fresh_for=60))
    with upstream.using(httpx.MockTransport(script)):
        before = asyncio.create_task(ask(upstream, 1))
        await asyncio.sleep(0.01)
        script.delay = 0.0
        await upstream.post_json("/orders", {})
        await before
        await ask(upstream, 1)
        await upstream.request("OPTIONS", "/")
        await ask(upstream, 1)
    assert [request.method for request in script.requests] == ["GET", "POST", "GET", "OPTIONS"]


async def test_the_cache_keeps_no_more_bytes_than_it_may() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json="x" * (50_000 if request.url.path == "/huge" else 1000))

    upstream = declare(cache=Cache(fresh_for=60, max_bytes=5000))
    with upstream.using(httpx.MockTransport(answer)):
        for path in ("/a", "/b", "/c", "/huge", "/c", "/d", "/e", "/d", "/e", "/a", "/huge"):
            await upstream.get_json(path)
    assert asked == ["/a", "/b", "/c", "/huge", "/d", "/e", "/a", "/huge"]


async def test_a_late_caller_does_not_join_a_call_that_is_about_to_end() -> None:
    script = Script(200, delay=60)
    upstream = declare(timeout=1.2, attempt_timeout=1.2)
    with upstream.using(httpx.MockTransport(script)):
        first = asyncio.create_task(ask(upstream, 1))
        await asyncio.sleep(0.9)
        script.delay = 0.3
        assert await ask(upstream, 2) == ["ok"] * 2, "they ended with the call that they joined"
        assert await first == ["timeout"]
    assert len(script.requests) == 2


async def test_a_request_that_a_deadline_cut_off_and_one_of_another_caller_are_told_as_such() -> (
    None
):
    script = Script(200, delay=60)
    upstream = declare(attempt_timeout=120, timeout=120)
    with upstream.using(httpx.MockTransport(script)):
        first = asyncio.create_task(upstream.get_json("/").outcome())
        await until(lambda: bool(script.requests))
        await asyncio.sleep(0.05)
        with deadline(0.1):
            late = await upstream.get_json("/").outcome()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

        with deadline(0.0):
            never_sent = await upstream.get_json("/").outcome()

    assert len(script.requests) == 1
    assert [each.status for each in late.requests] == ["timeout"]
    assert late.requests[0].start_ms <= -50
    assert late.requests[0].ms >= 100
    assert never_sent.requests == ()
