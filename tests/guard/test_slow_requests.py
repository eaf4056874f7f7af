"""The log of slow requests beside thousands of tasks that wait for long, such as event streams."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.test import RequestFactory

from offload.guard.runtime import slow_requests, stacks

TASKS = 50
THRESHOLD = 0.05


@asynccontextmanager
async def waiting_tasks() -> AsyncIterator[None]:
    """Tasks that wait for a request each, while the slow ones are logged."""

    async def wait(request: Any) -> None:
        await asyncio.Event().wait()

    requests = [RequestFactory().get(f"/{number}") for number in range(TASKS)]
    tasks = [asyncio.create_task(wait(request)) for request in requests]
    tasks.append(asyncio.create_task(slow_requests.log_slow_requests(THRESHOLD)))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_task_that_waits_for_long_is_looked_at_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: Counter[asyncio.Task[Any]] = Counter()
    of_task = stacks.of_task

    def counted(task: asyncio.Task[Any]) -> list[stacks.Step]:
        looks[task] += 1
        return of_task(task)

    monkeypatch.setattr(stacks, "of_task", counted)
    async with waiting_tasks():
        # Looks after 1, 2, 4, 8 and 16 times the threshold; one each half of it would be 40.
        await asyncio.sleep(20 * THRESHOLD)
    assert len(looks) >= TASKS
    assert max(looks.values()) <= 5
    assert caplog.text.count("has no answer") == TASKS


async def test_a_request_that_is_read_late_is_soon_seen(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slow_requests, "LONGEST_WAIT_SECONDS", 2 * THRESHOLD)

    async def read_slowly_and_wait() -> None:
        await asyncio.sleep(16 * THRESHOLD)
        await wait(RequestFactory().get("/late"))

    async def wait(request: Any) -> None:
        await asyncio.Event().wait()

    late = asyncio.create_task(read_slowly_and_wait())
    logs = asyncio.create_task(slow_requests.log_slow_requests(THRESHOLD))
    # Without the bound it is looked at after 16 and 32 times the threshold.
    await asyncio.sleep(22 * THRESHOLD)
    late.cancel()
    logs.cancel()
    await asyncio.wait([late, logs])
    assert "GET /late has no answer" in caplog.text


async def test_the_loop_serves_others_while_many_tasks_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slow_requests, "LOOK_SECONDS", 0)
    turn, looks_in_turn = 0, Counter[int]()
    of_task = stacks.of_task

    def counted(task: asyncio.Task[Any]) -> list[stacks.Step]:
        looks_in_turn[turn] += 1
        return of_task(task)

    monkeypatch.setattr(stacks, "of_task", counted)
    async with waiting_tasks(), asyncio.timeout(10):
        while looks_in_turn.total() < TASKS:
            await asyncio.sleep(0)
            turn += 1
    assert max(looks_in_turn.values()) <= 2
