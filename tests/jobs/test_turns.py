"""Submits that are counted take turns: at once they keep the bound, and none waits for long."""

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from .conftest import Lab
from .test_maintenance_publish import quiet as quiet

BOUND = 3
HOUR = timedelta(hours=1)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an owner's jobs 3 may wait for a later time, and 3 for a limit."""
    from offload.conf import conf
    from offload.jobs import admission

    limits = dataclasses.replace(conf(), jobs_per_owner=BOUND, queue_depth=BOUND)
    monkeypatch.setattr(admission, "conf", lambda: limits)


def at_once(submit: Callable[[str], Any], owners: list[str]) -> list[int]:
    """Call `submit` in a thread for each of these owners; the status of each refusal."""
    from django.db import connection

    from offload.problems import Problem

    begin = threading.Barrier(len(owners), timeout=120)
    refusals: list[int] = []

    def call(owner: str) -> None:
        connection.ensure_connection()
        begin.wait()
        try:
            submit(owner)
        except Problem as problem:
            refusals.append(problem.status)
        finally:
            connection.close()

    running = [threading.Thread(target=call, args=[owner]) for owner in owners]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    return refusals


def owners() -> list[str]:
    """Half of the submits are one owner's, and half another one's."""
    from django.db import connection

    return ["lab", "other"] * (16 if connection.vendor == "postgresql" else 4)


def jobs_of(owners: list[str]) -> dict[str, int]:
    from offload.jobs.models import Job

    return {owner: Job.objects.filter(owner=owner).count() for owner in owners}


def plan(owner: str) -> None:
    from labyrinth.lab.jobs import burn

    from offload.jobs import submit_sync

    submit_sync(burn, burn.params(log="x"), owner=owner, run_at=datetime.now(UTC) + HOUR)


def limited(owner: str) -> None:
    from labyrinth.lab.jobs import three

    from offload.jobs import submit_sync

    submit_sync(three, three.params(log="x", name="a"), owner=owner)


def test_jobs_that_are_planned_at_once_keep_the_bound(quiet: Lab, few: None) -> None:
    submitted = owners()
    refusals = at_once(plan, submitted)
    assert jobs_of(submitted) == {"lab": BOUND, "other": BOUND}
    assert refusals == [429] * (len(submitted) - 2 * BOUND)


def test_limited_jobs_that_are_submitted_at_once_keep_the_bound(quiet: Lab, few: None) -> None:
    # They take the places, so that all others are blocked.
    for _ in range(3):
        limited("first")
    submitted = owners()
    refusals = at_once(limited, submitted)
    assert jobs_of(submitted) == {"lab": BOUND, "other": BOUND}
    assert refusals == [503] * (len(submitted) - 2 * BOUND)


async def test_a_list_of_limited_jobs_keeps_the_bound(quiet: Lab, few: None) -> None:
    from labyrinth.lab.jobs import three

    from offload.jobs import submit_many
    from offload.problems import Problem

    params = [three.params(log="x", name="a")] * 2
    # Three jobs get the places, and three are blocked.
    for _ in range(3):
        await submit_many(three, params, owner="lab")
    with pytest.raises(Problem, match="3 of your jobs wait for the same limit"):
        await submit_many(three, params[:1], owner="lab")
    assert await sync_to_async(jobs_of)(["lab"]) == {"lab": 6}


def test_a_list_with_many_keys_asks_no_more_than_one_with_few(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of 5,000 keys asked 15,000 questions in its turn, for 74 s on a busy machine."""
    from django.db import connection
    from labyrinth.lab.jobs import by_name

    from offload.jobs import client, submit_many

    # Nothing is unblocked.
    monkeypatch.setattr(client.services, "dispatch", lambda jobs: None)

    def asked(keys: int) -> list[str]:
        statements: list[str] = []

        def note(execute: Any, sql: str, *rest: Any) -> Any:
            if "SELECT" in sql:
                statements.append(sql)
            return execute(sql, *rest)

        params = [by_name.params(log="x", name=f"{number}") for number in range(keys)]
        with connection.execute_wrapper(note):
            async_to_sync(submit_many)(by_name, params, owner=f"{keys}")
        return statements

    assert len(asked(400)) == len(asked(40)) >= 2


def test_the_jobs_of_a_list_are_counted_and_ranked_by_their_keys(
    quiet: Lab, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labyrinth.lab.jobs import by_name

    from offload.jobs import blocked, client, submit_many
    from offload.problems import Problem

    # Several statements.
    monkeypatch.setattr(blocked, "WANTED_BATCH", 2)
    # All jobs stay blocked, and the queue is not full.
    monkeypatch.setattr(client.services, "dispatch", lambda jobs: None)
    monkeypatch.setattr(client, "admit", lambda *of: None)
    submit_list = async_to_sync(submit_many)

    def of(names: str) -> Any:
        return [by_name.params(log="x", name=name) for name in names]

    def ranks(jobs: Any) -> list[int]:
        return [job.rank for job in jobs]

    assert ranks(submit_list(by_name, of("abcdeab"), owner="lab")) == [4, 4, 4, 4, 4, 8, 8]
    assert ranks(submit_list(by_name, of("ea"), owner="lab", priority="low")) == [16, 16]
    assert ranks(submit_list(by_name, of("eb"), owner="lab")) == [8, 12]
    assert ranks(submit_list(by_name, of("ab"), owner="other")) == [4, 4]
    # Three of `a` and of `b` are blocked.
    for names in ("ca", "cb", "cccc"):
        with pytest.raises(Problem, match="3 of your jobs wait for the same limit"):
            submit_list(by_name, of(names), owner="lab")
    assert ranks(submit_list(by_name, of("c"), owner="lab")) == [8]


@pytest.mark.parametrize("submit", [plan, limited])
def test_who_stands_still_in_his_turn_keeps_nobody_for_long(
    quiet: Lab, submit: Callable[[str], None]
) -> None:
    """A process that was stopped between its count and its commit, for example."""
    from django.db import connection
    from labyrinth.lab.jobs import three

    from offload.jobs.admission import turn_to_submit
    from offload.problems import Problem

    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE has turns")
    is_in_turn, goes_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        try:
            with turn_to_submit(three, "lab", is_planned=True):
                is_in_turn.set()
                goes_on.wait(120)
        finally:
            connection.close()

    stands_still = threading.Thread(target=stand_still)
    stands_still.start()
    try:
        assert is_in_turn.wait(120)
        with pytest.raises(
            Problem, match="submit jobs at this moment: try again in 5 s"
        ) as problem:
            submit("lab")
        assert (problem.value.status, problem.value.headers["Retry-After"]) == (503, "5")
        submit("other")
    finally:
        goes_on.set()
        stands_still.join(120)
    submit("lab")


def test_a_submit_waits_for_a_longer_turn_than_the_maintenance_would(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of 10,000 jobs, or 31 other submits on a busy machine."""
    from django.db import connection
    from labyrinth.lab.jobs import three

    from offload.jobs import admission, transactions

    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE has turns")
    monkeypatch.setattr(transactions, "MAINTENANCE_LOCK_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(admission, "TURN_TIMEOUT_SECONDS", 120.0, raising=False)
    refusals: list[int] = []
    submits = threading.Thread(target=lambda: refusals.extend(at_once(limited, ["lab"])))

    def has_waited() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND waitstart < clock_timestamp() - interval '1 s'"
            )
            return not submits.is_alive() or bool(cursor.fetchone() == (1,))

    with admission.turn_to_submit(three, "lab", is_planned=False):
        submits.start()
        quiet.until(has_waited, "the submit to wait for longer than the maintenance would")
    submits.join(120)
    assert (refusals, jobs_of(["lab"])) == ([], {"lab": 1})
