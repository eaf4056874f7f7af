"""What a request passes on to its upstreams: its deadline, its trace context, its id."""

from collections.abc import Awaitable
from typing import cast

import pytest
from asgiref.sync import iscoroutinefunction
from chaos import Chaos, opened
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import AsyncRequestFactory, RequestFactory
from test_cancellation import served

from offload.fanout import DeadlineMiddleware, deadline, remaining
from offload.fanout.http import httpx
from offload.fanout.propagation import DEADLINE_HEADER, propagate
from offload.serving import RequestId, request_id

pytestmark = pytest.mark.timeout(30)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_an_upstream_is_told_the_time_it_has_and_the_trace(chaos: Chaos) -> None:
    async with opened(chaos.url, attempt_timeout=2.0) as upstream:

        async def view(_: HttpRequest) -> HttpResponse:
            await upstream.get_json("/ok")
            with deadline(0.5):
                await upstream.get_json("/ok")
            return HttpResponse()

        request = AsyncRequestFactory().get(
            "/", headers={"traceparent": TRACE, "X-Request-ID": "r7", "Cookie": "a=b"}
        )
        await cast(Awaitable[HttpResponseBase], RequestId(DeadlineMiddleware(view))(request))
        request_id.set("")
        await upstream.get_json("/ok")
    inside, hurried, outside = chaos.headers
    assert (inside["traceparent"], inside["x-request-id"]) == (TRACE, "r7")
    assert not {"cookie", "traceparent"} & (set(inside) & set(outside))
    assert 1000 < int(inside[DEADLINE_HEADER.lower()]) <= 2000
    assert 0 < int(hurried[DEADLINE_HEADER.lower()]) <= 500


@pytest.mark.parametrize("sent", [None, 'x" and a quote', "x" * 500])
async def test_an_upstream_is_told_the_id_that_our_logs_have(
    chaos: Chaos, sent: str | None
) -> None:
    async with opened(chaos.url) as upstream:

        async def view(_: HttpRequest) -> HttpResponse:
            await upstream.get_json("/ok")
            return HttpResponse()

        request = AsyncRequestFactory().get("/", headers={"X-Request-ID": sent} if sent else {})
        response = await cast(
            Awaitable[HttpResponseBase], RequestId(DeadlineMiddleware(view))(request)
        )
    assert chaos.headers[0]["x-request-id"] == response.headers["X-Request-ID"] != sent


async def test_a_third_party_is_told_neither_trace_nor_id_nor_time(chaos: Chaos) -> None:
    async with opened(chaos.url, propagate=False) as upstream:
        request_id.set("r7")
        with propagate({"HTTP_TRACEPARENT": TRACE}), deadline(5):
            await upstream.get_json("/ok")
            async with upstream.stream("/ok", max_bytes=1000, within=5) as response:
                await response.aread()
        request_id.set("")
    for headers in chaos.headers:
        assert not {"traceparent", "x-request-id", DEADLINE_HEADER.lower()} & set(headers)


async def test_a_trace_state_longer_than_a_receiver_has_to_take_is_left_out(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        with propagate({"HTTP_TRACEPARENT": TRACE, "HTTP_TRACESTATE": "k=" + "v" * 600}):
            await upstream.get_json("/ok")
    assert chaos.headers[0]["traceparent"] == TRACE
    assert "tracestate" not in chaos.headers[0]


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (None, 9, 10),
        ("1500", 1, 1.5),
        ("60000", 9, 10),
        ("soon", 9, 10),
        ("9" * 400, 9, 10),
        ("9" * 5000, 9, 10),
    ],
)
async def test_a_request_has_the_deadline_its_caller_asks_for_but_no_longer_than_the_service_gives(
    asked: str | None, least: float, most: float
) -> None:
    found: list[float] = []

    async def view(_: HttpRequest) -> HttpResponse:
        found.append(remaining())
        return HttpResponse()

    def sync_view(_: HttpRequest) -> HttpResponse:
        found.append(remaining())
        return HttpResponse()

    headers = {DEADLINE_HEADER: asked} if asked else {}
    middleware = DeadlineMiddleware(view)
    assert iscoroutinefunction(middleware)
    await cast(
        Awaitable[HttpResponseBase], middleware(AsyncRequestFactory().get("/", headers=headers))
    )
    DeadlineMiddleware(sync_view)(RequestFactory().get("/", headers=headers))
    assert len(found) == 2
    assert all(least < seconds <= most for seconds in found)
    assert remaining() == float("inf"), "the deadline ends with the request"


async def test_a_view_answers_with_its_sources_or_a_502(chaos: Chaos) -> None:
    async with served(chaos.url, 3) as port, opened(f"http://127.0.0.1:{port}") as service:
        answer = await service.get_json("/fan", params={"ask": "/ok"})
        assert list(answer["sources"]) == ["source0", "source1", "source2"]
        outcome = await service.get_json(
            "/fan", params={"ask": "/missing", "required": "source1"}
        ).outcome()
    assert isinstance(outcome.error, httpx.HTTPStatusError)
    assert outcome.error.response.status_code == 502
    assert outcome.error.response.json()["sources"]["source1"]["error"] == "HTTP 404"
