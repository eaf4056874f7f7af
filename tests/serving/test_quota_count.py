"""The count behind a quota: many requests at one time, and a Redis that is slow or is none."""

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from conftest import once
from running_valkey import Valkey, running_valkey

from offload.access import request_quota
from offload.problems import Problem

pytestmark = once
# Nothing comes back while a test runs.
WINDOW_SECONDS = 3600


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with running_valkey() as running:
        yield running


def counted(port: int, requests: int, window: float, seconds: float = 5.0) -> Any:
    """A quota of this process, for a policy of its own."""
    settings = SimpleNamespace(
        redis_url=f"redis://127.0.0.1:{port}/0",
        events_prefix="alone",
        requests_per_owner=requests,
        requests_per_address=0,
        request_quota_window=window,
        request_count_timeout=seconds,
        uncounted_requests_pass=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_quota, "conf", lambda: settings)
        made = request_quota.RequestQuota()
        made.open()
    return made


async def statuses(quota: Any, sharer: str, tries: int) -> list[int]:
    """What some requests at one time are answered."""

    async def once_more() -> int:
        try:
            await quota.take(SimpleNamespace(), quota.per_owner, sharer)
        except Problem as problem:
            return problem.status
        return 200

    return list(await asyncio.gather(*(once_more() for _ in range(tries))))


def test_requests_at_one_time_get_no_more_than_the_quota_and_it_comes_back(valkey: Valkey) -> None:
    async def run() -> None:
        quota = counted(valkey.port, 20, WINDOW_SECONDS)
        assert sorted(await statuses(quota, "a", 50)) == [200] * 20 + [429] * 30
        # Owners' names may hold any character.
        assert await statuses(quota, "ü \ud800:*\n" * 40, 1) == [200]
        await quota.close()

        short = counted(valkey.port, 2, 1.0)
        await statuses(short, "b", 2)
        until = time.monotonic() + 30
        while await statuses(short, "b", 1) != [200]:
            assert time.monotonic() < until, "never came back"
            await asyncio.sleep(0.05)
        await short.close()

    asyncio.run(run())


def test_a_crowd_or_a_busy_event_loop_is_not_taken_for_a_slow_redis(valkey: Valkey) -> None:
    async def run() -> None:
        quota = counted(valkey.port, 20, WINDOW_SECONDS, seconds=0.3)
        assert await statuses(quota, "warm", 1) == [200]
        assert sorted(await statuses(quota, "crowd", 3000)) == [200] * 20 + [429] * 2980

        asked = asyncio.create_task(statuses(quota, "busy", 1))
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(1)  # noqa: ASYNC251
        assert await asked == [200]
        await quota.close()

    # uvloop fires timers before it reads.
    uvloop.run(run())


def test_a_client_that_leaves_while_it_is_counted_harms_no_other(valkey: Valkey) -> None:
    async def run() -> None:
        quota = counted(valkey.port, 5, WINDOW_SECONDS)
        leaving = asyncio.create_task(statuses(quota, "left", 3))
        await asyncio.sleep(0)
        staying = asyncio.create_task(statuses(quota, "stays", 3))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == [200] * 3
        assert await statuses(quota, "stays", 3) == [200] * 2 + [429]
        await quota.close()

    asyncio.run(run())


def test_a_service_without_the_lifespan_says_so(valkey: Valkey) -> None:
    async def run() -> None:
        quota = counted(valkey.port, 5, WINDOW_SECONDS)
        await quota.close()
        with pytest.raises(RuntimeError, match=r"list offload\.access\.lifespan"):
            await statuses(quota, "a", 1)

    asyncio.run(run())


def test_a_redis_whose_clock_was_put_back_refuses_nobody(valkey: Valkey) -> None:
    async def run() -> None:
        quota = counted(valkey.port, 3, WINDOW_SECONDS)
        hours_ahead = int((time.time() + 10 * WINDOW_SECONDS) * 1e6)
        valkey.client.set("alone:requests:owner:late", hours_ahead, px=60_000)
        assert sorted(await statuses(quota, "late", 4)) == [200] * 3 + [429]
        await quota.close()

    asyncio.run(run())


def test_what_is_no_redis_counts_nothing_and_is_asked_by_one_request_at_a_time() -> None:
    async def run() -> None:
        asked = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            quota = counted(server.sockets[0].getsockname()[1], 5, WINDOW_SECONDS)
            assert await statuses(quota, "a", 1) == [503]
            before = asked
            assert await statuses(quota, "a", 200) == [503] * 200
            # The time to the next try may have passed, for one of them.
            assert asked - before <= 2
            await quota.close()

    asyncio.run(run())
