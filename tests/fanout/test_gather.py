"""Gather: every source has an outcome, and no call outlives it."""

import asyncio
import logging
import time

import pytest
from chaos import Chaos, opened, tasks, until
from test_protections import Script, declare

from offload.fanout import (
    BreakerOpen,
    DeadlineExceeded,
    Outcome,
    Outcomes,
    Overloaded,
    TooLarge,
    Undecodable,
    deadline,
    gather,
)
from offload.fanout.call import READ_SECONDS
from offload.fanout.errors import status_of
from offload.fanout.http import httpx
from offload.problems import Problem

pytestmark = pytest.mark.timeout(30)


async def test_every_source_has_its_outcome_in_the_order_asked(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        outcomes = await gather(
            {
                "late": upstream.get_json("/slow"),
                "good": upstream.get_json("/ok"),
                "bad": upstream.get_json("/missing"),
            }
        )
    assert list(outcomes) == ["late", "good", "bad"]
    assert outcomes["late"].value == {"slow": True}
    assert outcomes.sources()["bad"] | {"ms": 0} == {
        "status": "error", "ms": 0, "attempts": 1, "hedged": False, "age": 0.0, "error": "HTTP 404",
    }  # fmt: skip


async def test_the_sources_are_asked_side_by_side(chaos: Chaos) -> None:
    async with opened(chaos.url, attempt_timeout=60, timeout=60) as upstream:
        calls = {str(n): upstream.get_json("/silent", params={"n": n}) for n in range(10)}
        asking = asyncio.create_task(gather(calls))
        # None of them has an answer yet.
        await until(lambda: chaos.seen["GET /silent"] == 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_a_required_source_that_fails_ends_the_others_and_is_a_problem_that_names_it(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url) as upstream:
        with pytest.raises(Problem) as raised:
            await gather(
                {"silent": upstream.get_json("/silent"), "needed": upstream.get_json("/missing")},
                required={"needed"},
            )
        assert raised.value.status == 502
        assert "needed" in raised.value.detail
        assert raised.value.members["sources"]["needed"]["error"] == "HTTP 404"
        assert not tasks(), "a call was left running"
        await until(lambda: chaos.left["GET /silent"] == chaos.seen["GET /silent"])


async def test_a_mistake_in_code_is_raised_as_it_is_and_leaves_no_call_running(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url) as upstream:
        blunder = upstream.request("GET", "/ok").read(
            lambda response: response.no_such_attribute  # type: ignore[attr-defined]
        )
        with pytest.raises(AttributeError):
            await gather({"silent": upstream.get_json("/silent"), "blunder": blunder}, within=0.3)
        assert not tasks()


async def test_within_ends_the_gather_and_an_outer_deadline_ends_it_sooner(chaos: Chaos) -> None:
    async with opened(chaos.url, attempt_timeout=60, timeout=60) as upstream:
        started = time.monotonic()
        with deadline(0.2):
            outcomes = await gather({"silent": upstream.get_json("/silent")}, within=60)
        assert outcomes["silent"].status == "timeout"
        outcomes = await gather({"silent": upstream.get_json("/silent")}, within=0.2)
        assert outcomes["silent"].status == "timeout"
        # A minute is the upstream's own timeout.
        assert time.monotonic() - started < 20


async def test_a_required_name_that_is_not_called_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        await gather({}, required={"nowhere"})


async def test_a_cancelled_gather_leaves_no_call(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        gathering = asyncio.create_task(
            gather({str(n): upstream.get_json("/silent", params={"n": n}) for n in "12"})
        )
        await until(lambda: chaos.seen["GET /silent"] == 2)
        gathering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gathering
        assert not tasks()


async def test_an_awaited_call_gives_its_value_or_a_problem(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        assert (await upstream.get_json("/slow")) == {"slow": True}
        with pytest.raises(Problem) as raised:
            await upstream.get_json("/missing")
    assert raised.value.members["sources"]["chaos"]["status"] == "error"


def test_a_stale_source_satisfies_a_requirement() -> None:
    Outcomes(a=Outcome("stale", 1.0, {}), b=Outcome("ok", 1.0, None)).require(["a", "b"])


async def test_two_hundred_reads_of_one_upstream_pass_when_a_limit_lets_fifty_at_a_time() -> None:
    script = Script(200, delay=0.02)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        calls = {str(n): upstream.get_json("/", params={"n": n}) for n in range(200)}
        outcomes = await gather(calls, limit=50)
    assert list(outcomes) == list(calls)
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}
    assert script.busiest == 50


async def test_what_a_limit_held_back_until_the_deadline_is_not_sent() -> None:
    script = Script(200, delay=60)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)):
        calls = {str(n): upstream.get_json("/", params={"n": n}) for n in range(5)}
        outcomes = await gather(calls, limit=2, within=0.05)
    assert [outcome.status for outcome in outcomes.values()] == ["timeout"] * 5
    assert [outcome.attempts for outcome in outcomes.values()] == [1, 1, 0, 0, 0]
    assert (len(script.requests), script.busy) == (2, 0)


async def test_a_required_source_that_fails_keeps_what_a_limit_held_back_from_being_sent() -> None:
    script = Script(404)
    upstream = declare()
    with upstream.using(httpx.MockTransport(script)), pytest.raises(Problem):
        calls = {str(n): upstream.get_json("/", params={"n": n}) for n in range(5)}
        await gather(calls, limit=1, required={"1"})
    assert len(script.requests) == 2


async def test_a_limit_below_one_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="limit"):
        await gather({}, limit=0)


class Stubborn(httpx.AsyncBaseTransport):
    """A transport that takes two seconds to notice that it was cancelled."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)
        raise AssertionError


async def test_a_transport_that_is_slow_to_cancel_does_not_hold_its_caller() -> None:
    upstream = declare(timeout=0.3, attempt_timeout=0.3)
    with upstream.using(Stubborn()):
        started = time.monotonic()
        outcomes = await gather({"slow": upstream.get_json("/")}, within=0.1)
        assert outcomes["slow"].status == "timeout"
        # The timeout of the call ends this one.
        assert (await upstream.get_json("/other").outcome()).status == "timeout"
        assert time.monotonic() - started < 1.8
        await until(lambda: not tasks())


def failed(error: Exception) -> Problem:
    """The problem that a required source with this error is answered with."""
    with pytest.raises(Problem) as raised:
        Outcomes(needed=Outcome(status_of(error), 1.0, error=error)).require(["needed"])
    return raised.value


def answered(status: int, **headers: str) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://upstream.test")
    response = httpx.Response(status, headers=headers, request=request)
    return httpx.HTTPStatusError(f"HTTP {status}", request=request, response=response)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (DeadlineExceeded("late"), 504, None),
        (httpx.ReadTimeout("late"), 504, None),
        (BreakerOpen("open", 2.3), 503, "3"),
        (Overloaded("full"), 503, "1"),
        (answered(503), 503, "1"),
        (answered(503, **{"Retry-After": "7"}), 503, "7"),
        (answered(429, **{"Retry-After": "9" * 500}), 503, "86400"),
        # No zone of this world, and too large for Python's date.
        (answered(503, **{"Retry-After": f"Mon, 05 Jan 2026 00:00:00 +{'9' * 24}"}), 503, "1"),
        (answered(500), 502, None),
        (httpx.ConnectError("refused"), 502, None),
    ],
)
def test_a_required_source_that_may_come_back_is_answered_with_what_happened_and_when(
    error: Exception, status: int, retry_after: str | None
) -> None:
    problem = failed(error)
    assert (problem.status, problem.headers.get("Retry-After")) == (status, retry_after)
    assert "Try again" in problem.detail


@pytest.mark.parametrize("error", [answered(400), answered(404), Undecodable("x"), TooLarge("x")])
def test_nobody_is_told_to_try_again_what_the_source_will_refuse_again(error: Exception) -> None:
    problem = failed(error)
    assert problem.status == 502
    assert "ry again" not in problem.detail
    assert not problem.headers


def test_of_several_required_sources_the_one_that_stays_refused_decides() -> None:
    refused = Outcome("error", 1.0, error=answered(404))
    late = Outcome("timeout", 1.0, error=DeadlineExceeded("late"))
    shut = Outcome("open", 1.0, error=BreakerOpen("open", 4.0))
    for outcomes, status in (
        (Outcomes(a=late, b=refused, c=shut), 502),
        (Outcomes(a=late, b=shut), 503),
        (Outcomes(a=late, b=Outcome("ok", 1.0)), 504),
    ):
        with pytest.raises(Problem) as raised:
            outcomes.require(list(outcomes))
        assert raised.value.status == status


async def test_what_an_upstream_refuses_is_logged_once_as_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream = declare()
    with (
        upstream.using(httpx.MockTransport(Script(404))),
        caplog.at_level(logging.DEBUG, "offload.fanout"),
    ):
        for number in range(3):
            await upstream.get_json(f"/{number}").outcome()
    levels = [record.levelname for record in caplog.records if "HTTP 404" in record.getMessage()]
    assert levels == ["WARNING", "DEBUG", "DEBUG"]


def test_an_outcome_names_the_status_of_a_response_that_was_not_good() -> None:
    assert Outcome("error", 1.0, error=answered(404)).http_status == 404
    assert Outcome("stale", 1.0, {}, error=answered(503)).http_status == 503
    assert Outcome("timeout", 1.0, error=DeadlineExceeded("late")).http_status is None
    assert Outcome("ok", 1.0, {}).http_status is None


async def test_responses_that_take_long_to_read_are_read_in_turns_with_others() -> None:
    """A gather of fifty large responses stopped the event loop fifty times as long as one."""
    turns: list[int] = []
    turn = 0

    def read(response: httpx.Response) -> None:
        turns.append(turn)
        time.sleep(2 * READ_SECONDS)

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    upstream = declare(single_flight=False)
    waiting = asyncio.create_task(others())
    with upstream.using(httpx.MockTransport(Script(200))):
        outcomes = await gather({str(n): upstream.get_json("/").read(read) for n in range(5)})
    waiting.cancel()
    assert {each.status for each in outcomes.values()} == {"ok"}
    assert len(set(turns)) == 5
