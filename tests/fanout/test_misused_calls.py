"""Calls that are given to asyncio or in too great a number: what the error and the log say."""

import asyncio
from typing import Any

import pytest
from chaos import Chaos, opened

from offload.fanout import Upstream, gather

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("start", [asyncio.gather, asyncio.create_task, asyncio.TaskGroup])
async def test_a_call_that_asyncio_cannot_take_says_what_to_write_instead(start: Any) -> None:
    async def in_a_group(call: Any) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(call)

    upstream = Upstream("northbank", base_url="http://northbank.example")
    call = upstream.get_json("/prices", params={"key": "secret"})
    with pytest.raises((TypeError, ExceptionGroup)) as caught:
        await (in_a_group if start is asyncio.TaskGroup else start)(call)
    inner = getattr(caught.value, "exceptions", [caught.value])[0]
    assert isinstance(inner, TypeError)
    assert "gather of offload.fanout" in str(inner)
    assert "secret" not in str(inner)


async def test_wait_of_calls_says_what_to_write_instead() -> None:
    upstream = Upstream("northbank", base_url="http://northbank.example")
    with pytest.raises(TypeError, match=r"gather of offload\.fanout"):
        await asyncio.wait([upstream.get_json("/prices")])


async def test_gather_says_what_it_takes() -> None:
    upstream = Upstream("northbank", base_url="http://northbank.example")
    with pytest.raises(TypeError, match="by the names of their sources"):
        await gather([upstream.get_json("/prices")])  # type: ignore[arg-type]

    own = asyncio.sleep(0)
    with pytest.raises(TypeError, match=r"'mine' in gather is a coroutine.*TaskGroup"):
        await gather({"mine": own})  # type: ignore[dict-item]
    own.close()


async def test_calls_that_the_bulkhead_refuses_are_logged_once_a_minute(
    chaos: Chaos, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(chaos.url, max_in_flight=2, max_waiting=3) as upstream:

        async def ask_500() -> int:
            calls = {str(n): upstream.get_json("/ok", params={"n": n}) for n in range(500)}
            outcomes = await gather(calls)
            return [outcome.status for outcome in outcomes.values()].count("rejected")

        refused = await ask_500() + await ask_500()
        assert refused == 990
        [line] = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
        assert "Upstream chaos" in line
        assert "max_in_flight=2" in line
        assert "Give gather a limit" in line

        # A minute later.
        caplog.clear()
        upstream.client().bulkhead._next_line_at = 0
        await ask_500()
        [line] = [each.getMessage() for each in caplog.records if "refused" in each.getMessage()]
        # Of those before, all but the first one that was logged; and the first one now.
        assert "990 since the last such line" in line
