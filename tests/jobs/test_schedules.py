"""A moment of a schedule is submitted once, and as the declaration says: late, beside an earlier
job, while it is paused.
"""

import dataclasses
import itertools
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .kills import kill_before
from .test_contention import at_once, errors

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def declared(monkeypatch: pytest.MonkeyPatch, **limits: Any) -> Any:
    """The nightly job of the lab with other limits, the only one that is declared."""
    from offload.jobs import declare

    nightly = declare.find_job_type("lab.nightly")
    changed = dataclasses.replace(nightly, limits=dataclasses.replace(nightly.limits, **limits))
    monkeypatch.setattr(declare, "_job_types", {nightly.name: changed})
    return changed


def look(job_type: Any, now: datetime) -> None:
    from offload.jobs.maintenance.enqueue_periodic import _enqueue

    _enqueue(job_type, job_type.limits.recurrence, now)


def submitted() -> list[str]:
    """The moments of the jobs, in their order."""
    from offload.jobs.models import Job

    rows = Job.objects.filter(kind="lab.nightly")
    return sorted(f"{datetime.fromisoformat(row.params['scheduled_at']):%H:%M}" for row in rows)


def finish_all() -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.row_states import due

    for row in Job.objects.filter(status="queued"):
        assert transitions.give_up(row.pk, "it is enough", due())


def lead() -> Any:
    """A new process that does the duty."""
    from django.db.models.functions import Now

    from offload.jobs.maintenance.enqueue_periodic import EnqueuePeriodic
    from offload.jobs.models import Leader

    Leader.objects.get_or_create(name="relay", defaults={"holder": uuid4(), "until": Now()})
    return EnqueuePeriodic()


def test_a_new_cron_job_waits_for_its_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.jobs.models import Schedule

    nightly = declared(monkeypatch, cron="30 12 * * *")
    look(nightly, NOON)
    assert Schedule.objects.get(pk="lab.nightly").last_at == NOON
    look(nightly, NOON + timedelta(minutes=29))
    assert submitted() == []

    for seconds in (0, 1, 60):
        look(nightly, NOON + timedelta(minutes=30, seconds=seconds))
    assert submitted() == ["12:30"]


@pytest.mark.parametrize(
    ("catch_up", "late", "expected"),
    [
        ("last", 0, ["15:00"]),
        ("last", 1200, ["15:00"]),
        ("none", 5, ["15:00"]),
        ("none", 1200, []),
        ("all", 1200, ["13:00", "14:00", "15:00"]),
    ],
)
def test_moments_that_were_missed_are_caught_up_as_declared(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, catch_up: str, late: int, expected: list[str]
) -> None:
    nightly = declared(monkeypatch, cron="0 * * * *", catch_up=catch_up)
    look(nightly, NOON)
    for _ in range(2):
        look(nightly, NOON + timedelta(hours=3, seconds=late))
    assert submitted() == expected


def test_all_that_was_missed_has_a_bound(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    nightly = declared(monkeypatch, cron="* * * * *", catch_up="all")
    look(nightly, NOON)
    look(nightly, NOON + timedelta(days=10))
    assert len(submitted()) == 100
    assert submitted()[-1] == "12:00"


def test_a_clock_that_was_a_day_ahead_keeps_no_job_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = declared(monkeypatch, cron="0 * * * *")
    look(nightly, NOON + timedelta(days=1))
    look(nightly, NOON)
    for seconds in (0, 1, 60):
        look(nightly, NOON + timedelta(hours=1, seconds=seconds))
    assert submitted() == ["12:00", "13:00"]


def test_a_clock_that_was_some_seconds_ahead_submits_no_moment_twice(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job

    nightly = declared(monkeypatch, cron="0 * * * *")
    look(nightly, NOON - timedelta(hours=1))
    look(nightly, NOON)
    Job.objects.all().delete()
    for seconds in (-30, 0, 1):
        look(nightly, NOON + timedelta(seconds=seconds))
    assert submitted() == []


def test_a_leader_looks_again_after_the_clock_was_put_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(monkeypatch, cron=None, every=1.0)
    leader = lead()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    leader._looked_at, leader._next_look = tomorrow, {"lab.nightly": tomorrow}
    leader.run()
    assert len(submitted()) == 1


def test_a_moment_is_skipped_while_an_earlier_job_is_unfinished(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = declared(monkeypatch, cron="0 * * * *", overlap="skip")
    for hours in range(3):
        look(nightly, NOON + timedelta(hours=hours))
    assert submitted() == ["13:00"]
    finish_all()
    look(nightly, NOON + timedelta(hours=3))
    assert submitted() == ["13:00", "15:00"]


def test_jobs_of_a_schedule_may_overlap_by_default(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = declared(monkeypatch, cron="0 * * * *")
    for hours in range(3):
        look(nightly, NOON + timedelta(hours=hours))
    assert submitted() == ["13:00", "14:00"]


@pytest.mark.parametrize("catch_up", ["last", "all"])
def test_what_a_paused_schedule_did_not_submit_is_not_caught_up(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, catch_up: str
) -> None:
    from offload.jobs.models import Schedule

    nightly = declared(monkeypatch, cron="0 * * * *", catch_up=catch_up)
    look(nightly, NOON)
    Schedule.objects.update(paused=True)
    for hours in (1, 2):
        look(nightly, NOON + timedelta(hours=hours))
    Schedule.objects.update(paused=False)
    look(nightly, NOON + timedelta(hours=2, minutes=30))
    assert submitted() == []
    look(nightly, NOON + timedelta(hours=3))
    assert submitted() == ["15:00"]


@pytest.mark.parametrize("target", [{"kind": "lab.nightly"}, {"queue": "cpu"}])
@pytest.mark.parametrize(("catch_up", "count"), [("none", 0), ("last", 1), ("all", 3)])
def test_the_moments_of_a_paused_type_are_caught_up_after_its_resume(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, catch_up: str, count: int, target: dict[str, str]
) -> None:
    from offload.jobs.maintenance import enqueue_periodic
    from offload.jobs.models import Job, Pause, Schedule
    from offload.jobs.row_states import from_now

    nightly = declared(monkeypatch, cron=None, every=3600.0, catch_up=catch_up)
    look(nightly, NOON)
    Job.objects.all().delete()
    Schedule.objects.update(last_at=from_now(-3 * 3600))
    Pause.objects.create(**target, paused_by="the tests")
    # In the middle between two moments: "none" is for what is over 60 s late.
    monkeypatch.setattr(enqueue_periodic, "MISSED_AFTER", timedelta(0))
    leader = lead()
    for _ in range(2):
        leader.run()
    assert submitted() == []

    Pause.objects.all().delete()
    for _ in range(2):
        leader.run()
    # One more where an hour has just begun.
    assert count <= len(submitted()) <= count + (catch_up == "all")


def test_an_operator_pauses_a_schedule_by_name_in_the_admin(lab: Lab) -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    from offload.jobs.models import Schedule

    Schedule.objects.create(name="lab.nightly", last_at=NOON)
    Schedule.objects.create(name="lab.removed", last_at=NOON)
    operator = User.objects.create_superuser("operator")
    try:
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(operator)
        page = client.get("/admin/offload_jobs/schedule/")
        assert b"0 2 * * * UTC" in page.content
        assert b"no longer declared" in page.content

        change = "/admin/offload_jobs/schedule/lab.nightly/change/"
        assert client.post(change, {"paused": "on", "last_at_0": "2001-01-01"}).status_code == 302
        schedule = Schedule.objects.get(pk="lab.nightly")
        assert (schedule.paused, schedule.last_at) == (True, NOON)
        assert not Schedule.objects.get(pk="lab.removed").paused
        assert client.post(change.replace("change", "delete"), {"post": "yes"}).status_code == 403
    finally:
        operator.delete()


def test_a_moment_is_submitted_once_wherever_the_leader_is_killed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job

    nightly = declared(monkeypatch, cron="0 * * * *")
    look(nightly, NOON)
    for hour in itertools.count(1):
        Job.objects.all().delete()
        now = NOON + timedelta(hours=hour)
        killed = kill_before(hour - 1, lambda now=now: look(nightly, now))  # type: ignore[misc]
        for _ in range(2):
            look(nightly, now)
        assert submitted() == [f"{now:%H:%M}"]
        if not killed:
            assert hour > 4
            return


def test_two_leaders_at_once_submit_a_moment_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    from offload.jobs import transactions

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")
    # The leader that has the lock may be stopped for a while.
    monkeypatch.setattr(transactions, "MAINTENANCE_LOCK_TIMEOUT_SECONDS", 30.0)
    nightly = declared(monkeypatch, cron="0 * * * *", catch_up="all")
    look(nightly, NOON)
    for hours in range(1, 6):
        now = NOON + timedelta(hours=hours)
        assert errors(at_once(*[partial(look, nightly, now)] * 3)) == []
        assert len(submitted()) == hours


def test_a_schedule_with_another_interval_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job

    declared(monkeypatch, cron=None, every=1.0)
    lead().run()
    assert Job.objects.count() == 1
    declared(monkeypatch, cron=None, every=2.0)
    leader = lead()

    def more() -> bool:
        leader.run()
        return Job.objects.count() > 1

    lab.until(more, "the first job of the new interval")


def test_the_leader_asks_for_the_time_alone_until_the_next_moment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    declared(monkeypatch, cron="0 0 1 1 *")
    leader = lead()
    leader.run()
    with CaptureQueriesContext(connection) as asked:
        leader.run()
    assert len(asked) == 1


@pytest.mark.parametrize("is_new", [False, True])
def test_a_locked_schedule_holds_up_no_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    from django.db import connection, transaction

    from offload.jobs import declare, transactions
    from offload.jobs.models import Job, Schedule

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS NO ROW LOCKS: test_postgres.py runs this file on PostgreSQL")
    monkeypatch.setattr(transactions, "MAINTENANCE_LOCK_TIMEOUT_SECONDS", 0.2)
    first = declared(monkeypatch, cron=None, every=3600.0)
    second = dataclasses.replace(first, name="lab.second")
    monkeypatch.setattr(declare, "_job_types", {first.name: first, second.name: second})
    row = Schedule(name=first.name, last_at=NOON - timedelta(days=99))
    if not is_new:
        row.save()
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            # A new row is not committed, either.
            row.save()
            locked.set()
            done.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert locked.wait(30)
        leader = lead()
        leader.run()
        assert [row.kind for row in Job.objects.all()] == ["lab.second"]
    finally:
        done.set()
        holder.join()
    leader.run()
    assert Job.objects.filter(kind=first.name).exists()
