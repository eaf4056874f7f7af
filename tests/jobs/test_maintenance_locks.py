"""A lock of a dead host, or a lease that was renewed meanwhile, concerns only its own row."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from .conftest import LEASE, Lab, execute
from .test_maintenance import RecordingBroker, run_maintenance

# The duties wait 2 s for a lock at most; the run has five of them. The lock itself has no end.
MAX_RUN_SECONDS = 60.0


@pytest.fixture
def postgresql() -> None:
    from django.db import connection

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS NO ROW LOCKS: test_postgres.py runs this on PostgreSQL")


@contextmanager
def locked(job: Any) -> Iterator[None]:
    """Another session that has changed the row and neither commits nor ends."""
    from django.db import connections

    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("UPDATE offload_job SET message = 'held' WHERE id = %s", [job.pk])
        yield
    finally:
        other.rollback()
        other.close()


@contextmanager
def table_locked() -> Iterator[None]:
    """Another session that builds an index, for example: nobody else writes a row of a job."""
    from django.db import connections

    other = connections.create_connection("default")
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE offload_job IN SHARE MODE")
        yield
    finally:
        other.rollback()
        other.close()


def lost(lab: Lab, count: int) -> list[Any]:
    """Running jobs whose leases have ended."""
    from offload.jobs import transitions
    from offload.jobs.models import Job

    jobs = [lab.submit("lab.burn", units=1) for _ in range(count)]
    for job in jobs:
        assert transitions.claim(job.pk, uuid4(), 1)
    Job.objects.update(lease_until=jobs[0].created_at - timedelta(seconds=60))
    return jobs


def status(job: Any) -> str:
    job.refresh_from_db()
    return str(job.status)


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database has been observed for longer than a lease."""
    from offload.jobs.maintenance.rescue_lost import Observation

    monkeypatch.setattr(Observation, "seconds", lambda self: 60.0)


def test_a_lock_of_a_dead_host_stops_no_rescue_of_another_job(
    lab: Lab, postgresql: None, observed: None
) -> None:
    stuck, *others = lost(lab, 3)
    lab.submit("lab.burn", units=1)
    broker = RecordingBroker()
    time.sleep(0.6)

    started = time.monotonic()
    with locked(stuck):
        run_maintenance(broker)
        assert status(stuck) == "running"
        assert [status(job) for job in others] == ["queued"] * 2
        assert broker.published
    assert time.monotonic() - started < MAX_RUN_SECONDS

    run_maintenance(broker)
    assert status(stuck) == "queued"


def test_a_lock_on_a_divided_job_stops_no_rescue_of_other_jobs(
    lab: Lab, postgresql: None, observed: None
) -> None:
    from offload.jobs.models import Job

    parent, part, other = lost(lab, 3)
    Job.objects.filter(pk=part.pk).update(parent=parent.pk, number=1)

    with locked(parent):
        run_maintenance(RecordingBroker())
        assert status(part) == "running"
        assert status(other) == "queued"


def test_a_lock_on_one_row_costs_no_other_job_its_lease(lab: Lab, postgresql: None) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    stuck, other = lost(lab, 2)
    worker = uuid4()
    Job.objects.update(worker=worker)
    ended = other.created_at

    with locked(stuck):
        transitions.renew(worker, [stuck.pk, other.pk])
        other.refresh_from_db()
        assert other.lease_until > ended


def test_a_job_whose_lease_was_renewed_after_the_look_stays_with_its_worker(
    lab: Lab, observed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions
    from offload.jobs.maintenance.rescue_lost import RescueLost

    (job,) = lost(lab, 1)
    job.refresh_from_db()
    rescue = RescueLost._rescue

    def renew_first(self: Any, *args: Any) -> None:
        transitions.renew(job.worker, [job.pk])
        rescue(self, *args)

    monkeypatch.setattr(RescueLost, "_rescue", renew_first)
    run_maintenance(RecordingBroker())

    assert status(job) == "running"
    assert job.attempts == 1


def test_a_lock_on_the_whole_table_costs_no_worker_its_jobs(lab: Lab, postgresql: None) -> None:
    from offload.jobs.models import Job

    lab.redis()
    # It leads. In a worker, the supervisor's wait for the lock would keep the leader waiting, too.
    lab.web()
    for name in ("one", "two"):
        lab.worker(name)
    jobs = [lab.submit("lab.silent", units=1, gate=str(lab.gate)) for _ in range(4)]
    for job in jobs:
        lab.computes(job)
    # The leader has observed the database for a lease.
    time.sleep(LEASE + 2)
    with table_locked():
        time.sleep(LEASE * 2)
    time.sleep(LEASE + 2)
    rows = Job.objects.filter(pk__in=[job.pk for job in jobs])
    assert [(row.status, row.attempts) for row in rows] == [("running", 1)] * 4
    assert [lab.executions(job) for job in jobs] == [1] * 4
    assert "has locked the whole table of jobs" in lab.log("web")


def test_a_lease_that_nobody_could_renew_is_not_lost_and_a_lease_later_it_is(
    lab: Lab, postgresql: None
) -> None:
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.rescue_lost import Observation, RescueLost

    (job,) = lost(lab, 1)
    observation = Observation()
    rescue = RescueLost(observation, EventPublisher())

    def look_a_lease_later() -> str:
        observation.step()
        assert observation._since is not None
        observation._since -= 2 * LEASE
        rescue.run()
        return status(job)

    with table_locked():
        assert look_a_lease_later() == "running"
    rescue.run()
    assert status(job) == "running"
    assert look_a_lease_later() == "queued"


def test_a_lock_on_a_running_jobs_row_costs_its_worker_no_job(lab: Lab, postgresql: None) -> None:
    """Its function reports within a long transaction, for example."""
    lab.redis()
    lab.web()
    lab.worker()
    job = lab.computes(lab.submit("lab.silent", units=1, gate=str(lab.gate)))
    time.sleep(LEASE + 2)
    for _ in range(3):
        with locked(job):
            time.sleep(LEASE + 2)
        time.sleep(2)
        assert (status(job), job.attempts, lab.executions(job)) == ("running", 1, 1)


def test_locks_on_overdue_jobs_delay_no_other_duty(lab: Lab, postgresql: None) -> None:
    """An operator's session, for example, which has changed many waiting jobs."""
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.give_up import FailOverdue
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    *held, free = [lab.submit("lab.prompt", units=1) for _ in range(4)]
    Job.objects.update(start_before=from_now(-60))
    with ExitStack() as locks:
        for job in held:
            locks.enter_context(locked(job))
        started = time.monotonic()
        FailOverdue(EventPublisher()).run()
        # It waits 2 s for a lock.
        assert time.monotonic() - started < 2.0
        assert [status(job) for job in (*held, free)] == ["queued"] * 3 + ["failed"]
    FailOverdue(EventPublisher()).run()
    assert [status(job) for job in held] == ["failed"] * 3


@pytest.mark.parametrize("what", ["the jobs", "their divided jobs"])
def test_locks_on_jobs_that_nobody_knows_delay_no_other_duty(
    lab: Lab, postgresql: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance import give_up
    from offload.jobs.models import Job, Worker
    from offload.jobs.row_states import from_now

    monkeypatch.setattr(give_up, "UNKNOWN_INTERVAL_SECONDS", 0.0)
    wholes = [lab.submit("lab.whole", logs=[str(tmp_path / "part")]) for _ in range(5)]
    for whole in wholes:
        assert execute(whole) == "running"
    parts = [Job.objects.get(parent=whole) for whole in wholes]
    Job.objects.filter(parent__isnull=False).update(kind="lab.gone", due_at=from_now(-100_000))
    Worker.objects.create(
        pk=uuid4(), name="w", queues=["cpu"], slots=1, kinds=["lab.burn"], seen_at=from_now(0)
    )
    duty = give_up.FailUnknown(EventPublisher())
    with ExitStack() as locks:
        for job in (parts if what == "the jobs" else wholes)[1:]:
            locks.enter_context(locked(job))
        started = time.monotonic()
        duty.run()
        # It waited 2 s for each of them.
        assert time.monotonic() - started < 4.0
        assert [status(job) for job in parts] == ["failed"] + ["queued"] * 4
    duty.run()
    assert [status(job) for job in parts] == ["failed"] * 5
