"""The spans of calls: one for each request that is sent, and an event for each call."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from chaos import Chaos, opened
from test_protections import Script, declare

from offload.fanout import Cache, CircuitBreaker, Hedge, Retry, Upstream
from offload.fanout.http import httpx
from offload.observe.tracing import tracing

pytest.importorskip("opentelemetry.sdk", reason="NO OPENTELEMETRY: traces were not tried")
pytestmark = pytest.mark.timeout(60)
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture(autouse=True)
def spans() -> Iterator[list[Any]]:
    """Trace in this process; the spans that have ended."""
    from offload.observe.tracer import Tracer

    ended: list[Any] = []
    tracing._tracer = Tracer("fanout", ended.append)
    yield ended
    tracing._tracer = None


@contextmanager
def request() -> Iterator[Any]:
    """The span of a request in which calls are made."""
    span = tracing.begin("GET route", "SERVER")
    with tracing.attached(span):
        yield span


def events(span: Any) -> list[dict[str, Any]]:
    """What the calls of a span came to, without their times."""
    found = [dict(event.attributes) for event in span.events if event.name == "upstream.call"]
    for each in found:
        del each["offload.ms"]
    return found


def traceparent(span: Any) -> str:
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


async def test_each_request_to_an_upstream_is_a_child_that_the_upstream_is_told_of(
    chaos: Chaos, spans: list[Any]
) -> None:
    async with opened(chaos.url, retry=Retry(wait_initial=0.0)) as upstream:
        with request() as parent:
            await upstream.get_json(
                "/once_busy", params={"key": "s3cr3t"}, headers={"X-Key": "s3cr3t"}
            )
    first, second, _ = spans
    assert [span.name for span in (first, second)] == ["GET chaos", "GET chaos"]
    assert {span.parent.span_id for span in (first, second)} == {parent.context.span_id}
    assert [each["traceparent"] for each in chaos.headers] == [
        traceparent(first),
        traceparent(second),
    ]
    assert (first.attributes["error.type"], first.status.is_ok) == ("503", False)
    assert first.attributes["http.response.status_code"] == 503
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1
    assert second.attributes["http.response.status_code"] == 200
    assert second.attributes["server.port"] == chaos.port
    assert events(parent) == [
        {"offload.upstream": "chaos", "offload.outcome": "ok", "offload.attempts": 2}
    ]
    for span in spans:
        assert "s3cr3t" not in span.to_json()
        assert "once_busy" not in span.to_json()


async def test_a_stream_is_traced_up_to_its_head(chaos: Chaos, spans: list[Any]) -> None:
    async with opened(chaos.url) as upstream:
        with request() as parent:
            async with upstream.stream("/ok", max_bytes=1000, within=30) as response:
                assert [span.name for span in spans] == ["GET chaos"]
                await response.aread()
    assert events(parent)[0]["offload.outcome"] == "ok"
    assert chaos.headers[0]["traceparent"] == traceparent(spans[0])


async def test_a_third_party_is_traced_and_told_nothing(chaos: Chaos, spans: list[Any]) -> None:
    async with opened(chaos.url, propagate=False) as upstream:
        with request():
            await upstream.get_json("/ok")
    assert [span.name for span in spans] == ["GET chaos", "GET route"]
    assert "traceparent" not in chaos.headers[0]


async def test_an_unsampled_trace_has_no_spans_and_goes_along(
    chaos: Chaos, spans: list[Any]
) -> None:
    caller = tracing.remote({"traceparent": UNSAMPLED})
    span = tracing.begin("GET route", "SERVER", caller)
    async with opened(chaos.url) as upstream:
        with tracing.attached(span):
            await upstream.get_json("/ok")
    assert spans == []
    assert chaos.headers[0]["traceparent"] == traceparent(span)
    assert chaos.headers[0]["traceparent"].split("-")[1] == UNSAMPLED.split("-")[1]


async def test_outside_of_a_trace_a_call_is_not_traced(chaos: Chaos, spans: list[Any]) -> None:
    async with opened(chaos.url) as upstream:
        await upstream.get_json("/ok")
    assert spans == []
    assert "traceparent" not in chaos.headers[0]


async def test_who_shares_a_call_has_a_link_to_the_caller_that_started_it(
    spans: list[Any],
) -> None:
    upstream = declare()

    async def ask() -> Any:
        with request() as span:
            await upstream.get_json("/prices")
        return span

    with upstream.using(httpx.MockTransport(Script(200, delay=0.05))):
        first, second = await asyncio.gather(ask(), ask())
    (attempt,) = [span for span in spans if span.name.startswith("GET ") and span.parent]
    assert attempt.parent.span_id == first.context.span_id
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert events(second)[0]["offload.shared"] is True
    assert "offload.shared" not in events(first)[0]


async def test_what_the_protections_did_is_in_the_event_of_the_call(spans: list[Any]) -> None:
    breaker = CircuitBreaker(minimum_throughput=2, failure_ratio=0.5)
    upstream = declare(retry=Retry(attempts=1), breaker=breaker, cache=Cache())
    transport = httpx.MockTransport(Script(200, 500, 500, 500, 500))
    with upstream.using(transport), request() as span:
        for _ in range(5):
            await upstream.get_json("/prices").outcome()
    statuses = [
        (each["offload.outcome"], each.get("error.type"), each["offload.attempts"])
        for each in events(span)
    ]
    assert statuses[:2] == [("ok", None, 1), ("stale", "HTTP 500", 1)]
    assert ("stale", "BreakerOpen", 0) in statuses
    assert all("offload.cache_age_seconds" in each for each in events(span)[1:])
    attempts = [each for each in spans if each.parent is not None]
    assert len(attempts) == sum(number for *_, number in statuses)


async def test_a_fresh_response_of_the_cache_is_an_event_and_no_span(spans: list[Any]) -> None:
    upstream = declare(cache=Cache(fresh_for=60.0))
    with upstream.using(httpx.MockTransport(Script(200))), request() as span:
        await upstream.get_json("/prices")
        await upstream.get_json("/prices")
    assert len([each for each in spans if each.parent is not None]) == 1
    assert "offload.cache_age_seconds" in events(span)[1]
    assert "offload.cache_age_seconds" not in events(span)[0]


async def test_a_hedged_request_says_so_and_the_loser_is_no_failure(
    chaos: Chaos, spans: list[Any]
) -> None:
    hedge = Hedge(quantile=0.5, budget_ratio=1.0)
    async with opened(chaos.url, hedge=hedge) as upstream:
        await warm_up(upstream)
        chaos.delays[:] = [20.0, 0.0]
        with request() as span:
            await upstream.get_json("/planned", params={"n": "last"})
    assert events(span)[0]["offload.hedged"] is True
    loser, winner = sorted(spans[:-1], key=lambda each: "offload.hedge" in each.attributes)
    assert loser.attributes["offload.cancelled"] is True
    assert loser.status.is_unset
    assert "http.request.resend_count" not in winner.attributes
    assert chaos.headers[-2]["traceparent"] == traceparent(loser)
    assert chaos.headers[-1]["traceparent"] == traceparent(winner)


async def warm_up(upstream: Upstream) -> None:
    """So many calls that hedging knows how long one usually takes."""
    for number in range(40):
        await upstream.get_json("/planned", params={"n": number})


async def test_a_caller_that_leaves_cancels_the_span(chaos: Chaos, spans: list[Any]) -> None:
    async with opened(chaos.url) as upstream:
        with request():
            asking = asyncio.ensure_future(upstream.get_json("/silent")._value())
            while not chaos.seen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.wait({asking})
    attempt = spans[0]
    assert attempt.attributes["offload.cancelled"] is True
