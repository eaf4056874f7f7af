"""Gather: every source has an outcome, and no call outlives it."""

import asyncio
import time

import pytest
from chaos import Chaos, opened, tasks, until

from offload.fanout import Outcome, Outcomes, deadline, gather
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
    chaos.delay = 0.2
    async with opened(chaos.url) as upstream:
        started = time.monotonic()
        await gather({str(n): upstream.get_json("/slow", params={"n": n}) for n in range(10)})
        # One after the other, the calls would take ten times the delay.
        assert time.monotonic() - started < 5 * chaos.delay


async def test_a_required_source_that_fails_ends_the_others_and_is_a_503_that_names_it(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url) as upstream:
        with pytest.raises(Problem) as raised:
            await gather(
                {"silent": upstream.get_json("/silent"), "needed": upstream.get_json("/missing")},
                required={"needed"},
            )
        assert raised.value.status == 503
        assert "needed" in raised.value.detail
        assert raised.value.members["sources"]["needed"]["error"] == "HTTP 404"
        assert not tasks(), "a call was left running"
        await until(lambda: chaos.left["GET /silent"] == chaos.seen["GET /silent"])


async def test_a_mistake_in_code_is_raised_as_it_is_and_leaves_no_call_running(
    chaos: Chaos,
) -> None:
    async with opened(chaos.url) as upstream:
        blunder = upstream.request("GET", "/ok").read(lambda response: response.no_such_attribute)  # type: ignore[attr-defined]
        with pytest.raises(AttributeError):
            await gather({"silent": upstream.get_json("/silent"), "blunder": blunder}, within=0.3)
        assert not tasks()


async def test_within_ends_the_gather_and_an_outer_deadline_ends_it_sooner(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        started = time.monotonic()
        with deadline(0.2):
            outcomes = await gather({"silent": upstream.get_json("/silent")}, within=60)
        assert outcomes["silent"].status == "timeout"
        outcomes = await gather({"silent": upstream.get_json("/silent")}, within=0.2)
        assert outcomes["silent"].status == "timeout"
        # Two seconds is the upstream's own attempt timeout.
        assert time.monotonic() - started < 2.0


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


async def test_an_awaited_call_gives_its_value_or_a_503(chaos: Chaos) -> None:
    async with opened(chaos.url) as upstream:
        assert (await upstream.get_json("/slow")) == {"slow": True}
        with pytest.raises(Problem) as raised:
            await upstream.get_json("/missing")
    assert raised.value.members["sources"]["chaos"]["status"] == "error"


def test_a_stale_source_satisfies_a_requirement() -> None:
    Outcomes(a=Outcome("stale", 1.0, {}), b=Outcome("ok", 1.0, None)).require(["a", "b"])
