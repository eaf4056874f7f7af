"""Jobs for a later time have bounds, and a wrong clock changes no answer. On both databases."""

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from .conftest import Lab
from .staff_pages import works
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import insert
from .test_maintenance_publish import quiet as quiet
from .test_submit import key, submit

HOUR = timedelta(hours=1)
# By so much the clock of this process is wrong in these tests.
WRONG = timedelta(minutes=5)


def later() -> datetime:
    return datetime.now(UTC) + HOUR


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner may plan 3 jobs of a queue, and all owners together 5."""
    from offload.conf import conf
    from offload.jobs import admission

    limits = dataclasses.replace(conf(), jobs_per_owner=3, planned_depth=5)
    monkeypatch.setattr(admission, "conf", lambda: limits)


async def refused(count: int = 1, kind: str = "lab.burn", owner: str = "lab") -> tuple[int, str]:
    """The status and `Retry-After` for jobs with a `run_at`; 0 where they were accepted."""
    from offload.jobs import submit_many
    from offload.jobs.declare import find_job_type
    from offload.problems import Problem

    found = find_job_type(kind)
    params = [found.params(log="x", units=number) for number in range(count)]
    try:
        await submit_many(found, params, owner=owner, run_at=later())
    except Problem as problem:
        return problem.status, problem.headers["Retry-After"]
    return 0, ""


async def test_an_owner_plans_a_bounded_number_of_jobs_of_a_queue(quiet: Lab, few: None) -> None:
    from offload.jobs.models import Job
    from offload.problems import Problem

    first = await submit("lab.burn", "/dev/null", key("first"), run_at=later())
    assert await refused(3) == (429, "60")
    assert await refused(4) == (429, "60")
    assert await refused(2) == (0, "")
    with pytest.raises(Problem) as problem:
        await submit("lab.burn", "/dev/null", run_at=later())
    assert (problem.value.status, problem.value.headers["Retry-After"]) == (429, "60")
    # Neither a repeated request, nor a job for now, nor another owner is refused.
    again = await submit("lab.burn", "/dev/null", key("first"), run_at=later())
    assert again.pk == first.pk
    await submit("lab.burn", "/dev/null")
    assert await refused(owner="other") == (0, "")

    # A place is free again as soon as a job is due, or has ended.
    await Job.objects.filter(pk=first.pk).aupdate(due_at=timezone.now() - HOUR)
    assert await refused() == (0, "")
    assert await refused() == (429, "60")


async def test_a_limited_job_for_later_counts_whatever_its_key_is(quiet: Lab, few: None) -> None:
    from labyrinth.lab.jobs import by_name

    from offload.jobs import submit_many
    from offload.problems import Problem

    async def plan(names: str) -> None:
        params = [by_name.params(log="x", name=name) for name in names]
        await submit_many(by_name, params, owner="lab", run_at=later())

    await plan("abc")
    with pytest.raises(Problem) as problem:
        await plan("d")
    assert problem.value.status == 429


async def test_all_owners_together_plan_a_bounded_number(
    quiet: Lab, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.services import services

    for owner in ("a", "b"):
        assert await refused(2, owner=owner) == (0, "")
    stats = await sync_to_async(run_maintenance)(RecordingBroker())
    assert stats.planned == {"cpu": 4}
    monkeypatch.setattr(services, "stats", stats)
    assert await refused(2, owner="c") == (503, "60")
    assert await refused(1, owner="c") == (0, "")


def test_parts_and_due_jobs_are_not_planned_ones(quiet: Lab) -> None:
    insert(2, number=1)
    insert(2, seconds=-3600, number=1)
    insert(3)
    stats = run_maintenance(RecordingBroker())
    assert stats.planned == {}
    assert {name: (queue.rows, queue.depth) for name, queue in stats.queues.items()} == {
        "cpu": (5, 3)
    }


@pytest.fixture(params=[WRONG, -WRONG], ids=["fast", "slow"])
def wrong(quiet: Lab, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """This process's clock is wrong, and it has read the database's."""
    from offload.jobs.services import services

    right = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: right() + request.param)
    stats = run_maintenance(RecordingBroker())
    monkeypatch.setattr(services, "stats", stats)
    return stats


async def test_a_wrong_clock_refuses_no_deadline_and_takes_none_that_has_passed(wrong: Any) -> None:
    from offload.problems import Problem

    right = datetime.now(UTC)
    job = await submit("lab.burn", "/dev/null", start_before=right + timedelta(minutes=2))
    assert job.start_before == right + timedelta(minutes=2)
    with pytest.raises(Problem, match="must be later than now"):
        await submit("lab.burn", "/dev/null", start_before=right - timedelta(minutes=2))


def test_a_wrong_clock_changes_no_reason_of_waiting(wrong: Any) -> None:
    from labyrinth.lab.jobs import burn

    from offload.jobs import submit_sync, transitions
    from offload.jobs.job_view import summary_of
    from offload.jobs.models import Job
    from offload.jobs.operations import _workers
    from offload.jobs.why_waiting import reasons_of_waiting

    worker = works()
    assert [row["is_silent"] for row in _workers()] == [False]
    in_a_while = datetime.now(UTC) + timedelta(minutes=2)
    job = submit_sync(burn, burn.params(log="x"), owner="lab", run_at=in_a_while)
    assert "It is due later" in reasons_of_waiting(job)[0].text

    due = submit_sync(burn, burn.params(log="x"), owner="lab", start_before=in_a_while)
    reasons = [reason.text for reason in reasons_of_waiting(Job.objects.get(pk=due.pk))]
    assert not [text for text in reasons if "later" in text or "passed" in text]
    transitions.claim(due.pk, worker.pk, 1)
    assert reasons_of_waiting(Job.objects.get(pk=due.pk)) == []

    limited = [_limited() for _ in range(4)]
    assert summary_of(limited[-1]).blocked_by == "blocked by limit: at most 3 at once"


def test_a_slow_answer_about_the_time_makes_no_due_job_one_for_later(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection
    from labyrinth.lab.jobs import burn

    from offload.jobs import submit_sync
    from offload.jobs.services import services
    from offload.jobs.why_waiting import reasons_of_waiting

    def slow(execute: Any, *statement: Any) -> Any:
        answer = execute(*statement)
        time.sleep(0.3)
        return answer

    with connection.execute_wrapper(slow):
        stats = run_maintenance(RecordingBroker())
    monkeypatch.setattr(services, "stats", stats)
    job = submit_sync(burn, burn.params(log="x"), owner="lab")
    assert not [reason for reason in reasons_of_waiting(job) if "later" in reason.text]


def _limited() -> Any:
    from labyrinth.lab.jobs import three

    from offload.jobs import submit_sync
    from offload.jobs.models import Job

    return Job.objects.get(pk=submit_sync(three, three.params(log="x", name="a"), owner="lab").pk)


def test_a_job_says_that_no_worker_knows_its_type(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.job_view import summary_of
    from offload.jobs.models import Job
    from offload.jobs.services import services

    works("cpu", "lab.other")
    insert(1)
    insert(1, seconds=-3600)
    stats = run_maintenance(RecordingBroker())
    monkeypatch.setattr(services, "stats", stats)
    due, planned = map(summary_of, Job.objects.order_by("due_at"))
    assert due.blocked_by == "no running worker knows the job type 'lab.burn'"
    assert (due.expected_start_seconds, planned.blocked_by) == (None, None)

    # It is begun as soon as a worker knows it.
    works("cpu", "lab.other", "lab.burn")
    monkeypatch.setattr(services, "stats", run_maintenance(RecordingBroker()))
    assert summary_of(Job.objects.order_by("due_at")[0]).blocked_by is None


def test_what_a_newer_leader_writes_is_read_by_an_older_process() -> None:
    from offload.jobs.stats import Backlog, JobStats, QueueStats

    stats = JobStats()
    newer = {"depth": 7, "a figure of the next version": 1}
    backlog = {"queue": "cpu", "kind": "x", "rows": 1, "age": 2.0, "another": []}
    stats.load({"queues": {"cpu": newer}, "backlogs": [backlog], "unknown": {}}, age=0.0)
    assert stats.queues == {"cpu": QueueStats(depth=7)}
    assert stats.backlogs == [Backlog("cpu", "x", 1, 2.0)]
