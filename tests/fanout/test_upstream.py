"""How an upstream is declared, opened and called."""

import asyncio
from datetime import date
from typing import Any

import pytest
from chaos import Chaos, opened, until
from prometheus_client import REGISTRY
from pydantic import BaseModel
from test_protections import Script, declare

from offload.fanout import Cache, CircuitBreaker, Retry, TooLarge, Upstream, lifespan
from offload.fanout.http import httpx
from offload.fanout.propagation import DEADLINE_HEADER
from offload.fanout.upstream import declared

pytestmark = pytest.mark.timeout(30)


def answering(*statuses: int) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(
            statuses[min(len(seen), len(statuses)) - 1], json={"symbol": "ACME", "price": 12.5}
        )

    return httpx.MockTransport(handler), seen


@pytest.mark.parametrize(
    "path",
    [
        "http://10.0.0.1/",
        "//10.0.0.1/",
        "prices",
        "/../admin",
        "/a/%2e%2e/admin",
        "/..%2fadmin",
        "/a?x=1",
        "/a#b",
        # What Tomcat, IIS and a server that decodes twice take for a parent folder.
        "/a/..;/admin",
        "/a/..;x=1/admin",
        "/a/%2e%2e%3b/admin",
        "/%5c..%5cadmin",
        "/..%5Cadmin",
        "/%252e%252e/admin",
        "/%25252e%25252e%25252fadmin",
    ]
    + ["/a b", "/a\\b", "/a\n", ""],
)
def test_a_path_cannot_lead_away_from_the_base_url(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        Upstream("fixed", base_url="http://upstream.test/v1").get_json(path)


@pytest.mark.parametrize("path", ["/a..b", "/a;v=1/b", "/50%25", "/a%5Cb", "/...", "/a%2Fb"])
def test_a_path_with_unusual_characters_is_taken(path: str) -> None:
    request = Upstream("fixed", base_url="http://upstream.test/v1").get_json(path).request
    assert str(request.url) == f"http://upstream.test/v1{path}"


@pytest.mark.parametrize(
    "url", ["ftp://host", "host/path", "http://", "http://user:secret@host", "http://host?q=1"]
)
def test_a_base_url_that_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Upstream("odd", base_url=url)


def test_an_attempt_that_may_take_longer_than_the_call_is_refused() -> None:
    with pytest.raises(ValueError, match="attempt_timeout"):
        Upstream("odd", base_url="http://upstream.test", attempt_timeout=3, timeout=2)


def test_secrets_stay_out_of_the_repr() -> None:
    upstream = Upstream("x", base_url="http://h", auth="secret", headers={"X-Key": "secret"})
    assert "secret" not in repr(upstream) + repr(upstream.post_json("/", {"password": "secret"}))


async def test_what_is_asked_arrives_as_asked() -> None:
    transport, seen = answering(200)
    upstream = Upstream(
        "x", base_url="http://upstream.test/v1/", headers={"X-Key": "k"}, auth="Bearer t"
    )
    with upstream.using(transport):
        await upstream.get_json(
            "/prices/a%2Fb", params={"symbols": ["ACME", "A&B"], "n": 2}, headers={"X-More": "m"}
        )
        await upstream.post_json("/orders", {"n": 1}, headers={"Idempotency-Key": "7"})
    get, post = seen
    assert str(get.url) == "http://upstream.test/v1/prices/a%2Fb?symbols=ACME&symbols=A%26B&n=2"
    assert [get.headers[name] for name in ("X-Key", "Authorization", "X-More")] == [
        "k",
        "Bearer t",
        "m",
    ]
    assert (post.content, post.headers["Content-Type"], post.headers["Idempotency-Key"]) == (
        b'{"n":1}', "application/json", "7",
    )  # fmt: skip


async def test_what_a_call_says_replaces_what_is_declared() -> None:
    transport, seen = answering(200)
    upstream = Upstream(
        "x", base_url="http://h", headers={"Accept": "text/html", "x-key": "k"}, auth="Bearer ours"
    )
    with upstream.using(transport):
        await upstream.get_json(
            "/", headers={"authorization": "Bearer theirs", "accept": "application/json"}
        )
    wanted = {"accept": "application/json", "authorization": "Bearer theirs", "x-key": "k"}
    assert wanted.items() <= dict(seen[0].headers).items()
    assert len(seen[0].headers.get_list("Authorization")) == 1


async def test_a_body_may_hold_what_pydantic_can_write() -> None:
    transport, seen = answering(200)
    upstream = Upstream("x", base_url="http://upstream.test")
    with upstream.using(transport):
        await upstream.post_json(
            "/", {"price": Price(symbol="ACME", price=1.5), "day": date(2026, 1, 5)}
        )
    assert seen[0].content == b'{"price":{"symbol":"ACME","price":1.5},"day":"2026-01-05"}'


async def test_the_same_arrives_over_a_real_connection(chaos: Chaos) -> None:
    async with opened(chaos.url, headers={"X-Key": "k"}) as upstream:
        assert (await upstream.post_json("/ok", {"n": 1}))["echo"] == '{"n":1}'
        response = await upstream.request("GET", "/zipped", params={"a b": "ä"})
    assert isinstance(response, httpx.Response)
    assert (response.json(), str(response.request.url)) == (
        {"zipped": True},
        f"{chaos.url}/zipped?a+b=%C3%A4",
    )
    assert chaos.headers[0]["x-key"] == "k"


class Price(BaseModel):
    symbol: str
    price: float


async def test_an_answer_is_validated_into_a_model_or_is_an_error() -> None:
    transport, _ = answering(200)
    upstream = Upstream("x", base_url="http://upstream.test")
    with upstream.using(transport):
        assert (await upstream.get_json("/").into(Price)).price == 12.5
        outcome = await upstream.get_json("/").into(list[Price]).outcome()
    assert (outcome.status, type(outcome.error).__name__) == ("error", "Undecodable")


async def test_json_behind_a_byte_order_mark_is_read() -> None:
    upstream = Upstream("marked", base_url="http://upstream.test")
    body = b'\xef\xbb\xbf{"price": 1}'
    with upstream.using(httpx.MockTransport(lambda _: httpx.Response(200, content=body))):
        assert await upstream.get_json("/") == {"price": 1}
        assert await upstream.get_json("/").into(dict[str, int]) == {"price": 1}


async def test_cookies_are_not_kept_between_callers(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        await upstream.get_json("/cookie")
        await upstream.get_json("/ok")
        await upstream.get_json("/ok", headers={"Cookie": "who=bob"})
    assert [headers.get("cookie") for headers in chaos.headers] == [None, None, "who=bob"]


async def test_connections_are_kept_and_closed_before_the_upstream_would(chaos: Chaos) -> None:
    async with opened(chaos.url, keepalive=0.3) as upstream:
        for _ in range(5):
            await upstream.get_json("/ok")
        assert (chaos.connections, len(chaos.open)) == (1, 1)
        await until(lambda: not chaos.open)


def test_an_upstream_used_in_another_event_loop_says_what_to_do() -> None:
    upstream = Upstream("x", base_url="http://upstream.test")

    async def open_it() -> Any:
        opening = upstream.open()
        await opening.__aenter__()
        return opening

    async def use_it() -> None:
        with pytest.raises(RuntimeError, match="make dev"):
            await upstream.get_json("/ok")

    with asyncio.Runner() as first:
        opening = first.run(open_it())
        with asyncio.Runner() as second:
            second.run(use_it())
        first.run(opening.__aexit__(None, None, None))
    with asyncio.Runner() as third:
        # The upstream is closed again.
        third.run(use_it())


async def test_the_lifespan_opens_all_declared_upstreams_and_closes_them(chaos: Chaos) -> None:
    # Forget the upstreams of other tests.
    declared.clear()
    first, second = Upstream("first", base_url=chaos.url), Upstream("second", base_url=chaos.url)
    async with lifespan({}):
        await first.get_json("/ok")
        await second.get_json("/ok")
        assert len(chaos.open) == 2, "each has a pool of its own"
    await until(lambda: not chaos.open)
    with pytest.raises(RuntimeError, match="not open"):
        await first.get_json("/ok")
    # A command has no state of an application.
    async with lifespan():
        await first.get_json("/ok")


async def test_metrics_tell_of_each_upstream() -> None:
    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(
            f"offload_fanout_{name}", {"upstream": "measured", **labels}
        )

    transport, _ = answering(500, 200, 404)
    upstream = Upstream(
        "measured", base_url="http://upstream.test", breaker=CircuitBreaker(minimum_throughput=3)
    )
    with upstream.using(transport):
        await upstream.get_json("/")
        await upstream.get_json("/").outcome()
        assert value("attempts_total") == 3
        assert value("outcomes_total", status="ok") == value("outcomes_total", status="error") == 1
        assert value("latency_seconds_count") == 2
        assert value("breaker_state") == value("waiting") == 0


async def test_the_latency_is_that_of_calls_that_went_to_the_upstream() -> None:
    def value(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(
            f"offload_fanout_{name}", {"upstream": "refusing", **labels}
        )

    transport, _ = answering(200, 500)
    upstream = Upstream(
        "refusing",
        base_url="http://upstream.test",
        retry=Retry(attempts=1),
        cache=Cache(fresh_for=60),
        breaker=CircuitBreaker(minimum_throughput=2),
    )
    with upstream.using(transport):
        for _ in range(5):
            await upstream.get_json("/kept")
        for number in range(100):
            await upstream.get_json(f"/{number}").outcome()
    assert value("outcomes_total", status="ok") == 5
    assert value("outcomes_total", status="open") == 99
    assert value("latency_seconds_count") == 2, "neither refusals nor kept responses"


async def test_a_call_may_have_limits_of_its_own() -> None:
    script = Script(503, delay=0.0)
    upstream = declare(attempt_timeout=0.2, timeout=3, retry=Retry(wait_initial=0.0))
    with upstream.using(httpx.MockTransport(script)):
        call = upstream.get_json("/report")
        assert (await call.with_limits(attempts=1).outcome()).attempts == 1
        assert (await call.with_limits(attempts=4).outcome()).attempts == 4
        assert (await call.outcome()).attempts == 3

        script.answers, script.delay = [200], 0.4
        assert (await call.outcome()).status == "timeout"
        patient = call.with_limits(timeout=5, attempt_timeout=2)
        assert (await patient.outcome()).status == "ok"
        assert upstream.client().circuit.state == "closed"
        hurried = await upstream.post_json("/", {}).with_limits(timeout=0.05).outcome()
        assert hurried.status == "timeout"
        told = [int(request.headers[DEADLINE_HEADER]) for request in script.requests[-2:]]
        assert 1000 < told[0] <= 2000
        assert told[1] <= 50


async def test_a_call_is_shared_only_with_calls_of_the_same_limits() -> None:
    script = Script(200, delay=0.05)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        call = upstream.get_json("/")
        calls = [call, call, *(call.with_limits(timeout=1) for _ in range(3))]
        await asyncio.gather(*(each.outcome() for each in calls))
    assert len(script.requests) == 2


async def test_a_call_may_be_larger_than_others_and_may_skip_the_cache(chaos: Chaos) -> None:
    async with opened(chaos.url, max_bytes=5, cache=Cache(fresh_for=60)) as upstream:
        call = upstream.get_json("/ok")
        assert isinstance((await call.outcome()).error, TooLarge)
        large = call.with_limits(max_bytes=1000)
        assert (await large.outcome()).status == "ok"
        assert (await call.outcome()).status == "ok", "the kept response stands in for the call"
        before = chaos.seen.total()
        await call.outcome()
        await large.with_limits(max_bytes=1000, skip_cache=True)
        assert chaos.seen.total() == before + 1


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"attempts": 0}, {"max_bytes": -1}])
def test_a_limit_of_a_call_that_lets_nothing_pass_is_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        declare().get_json("/").with_limits(**limits)


async def test_code_that_opens_an_upstream_by_itself_calls_the_stand_in_of_a_test() -> None:
    """A command opens the lifespan, and a job its upstream, also inside of a test's `using`."""
    upstream = Upstream("prices", base_url="http://127.0.0.1:1")
    transport, seen = answering(200)
    with upstream.using(transport):
        async with upstream.open():
            await upstream.get_json("/prices")
        async with lifespan({}):
            await upstream.get_json("/prices")
        await upstream.get_json("/prices")
    assert len(seen) == 3
    async with upstream.open():
        outcome = await upstream.get_json("/prices").outcome()
    assert (outcome.status, len(seen)) == ("error", 3)
