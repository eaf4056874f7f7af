"""The database's clock is put forward or back while jobs wait and run.

Rows get the times that a clock would have given them that was ahead.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F

from .conftest import Lab
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_locks import lost, status

DAY = timedelta(days=1)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "step"), [(10.0, 0.0), (13.5, 0.0), (3610.0, 3598.0), (-3590.0, -3600.0)]
)
def test_a_clock_that_was_put_is_told_from_a_slow_answer(seconds: float, step: float) -> None:
    """The second reading is 10 to 12 s after the first one."""
    from offload.jobs.maintenance.database_clock import DatabaseClock

    clock = DatabaseClock()
    clock.read(NOON, 100.0, 101.0)
    clock.read(NOON + timedelta(seconds=seconds), 111.0, 112.0)
    assert clock.take_step() == pytest.approx(step, abs=2.0 if not step else 0.0)
    assert clock.take_step() == 0.0


def ahead(job: Any, *columns: str) -> Any:
    """Give the job the times of a clock that was a day ahead."""
    from offload.jobs.models import Job

    Job.objects.filter(pk=job.pk).update(**{each: F(each) + DAY for each in columns})
    job.refresh_from_db()
    return job


def claimed(lab: Lab) -> Any:
    from offload.jobs import transitions

    return transitions.claim(lab.submit("lab.stumble", units=1).pk, uuid4(), 1)


def is_due(job: Any) -> bool:
    from offload.jobs.models import Job
    from offload.jobs.row_states import due

    return Job.objects.filter(due(), pk=job.pk).exists()


def test_jobs_that_became_due_by_a_clock_that_was_ahead_are_due(lab: Lab) -> None:
    from offload.jobs import transitions

    submitted = ahead(lab.submit("lab.burn", units=1), "created_at", "due_at")
    tried_again = transitions.retry(claimed(lab), "an error", delay=5.0)
    ahead(tried_again, "due_at")
    handed_back = ahead(transitions.hand_back(claimed(lab)), "due_at")
    run_maintenance(RecordingBroker())
    assert [is_due(job) for job in (submitted, tried_again, handed_back)] == [True] * 3


def test_jobs_that_are_for_later_stay_so(lab: Lab) -> None:
    from django.utils import timezone

    from offload.jobs import submit_sync, transitions
    from offload.jobs.declare import find_job_type

    burn = find_job_type("lab.burn")
    tomorrow = timezone.now() + DAY
    params = burn.params(log="/dev/null", units=1)
    planned = submit_sync(burn, params, owner="lab", run_at=tomorrow)
    tried_again = transitions.retry(claimed(lab), "an error", delay=60.0)
    run_maintenance(RecordingBroker())
    planned.refresh_from_db()
    assert planned.due_at == tomorrow
    assert not is_due(tried_again)


def test_a_limited_job_of_a_clock_that_was_ahead_is_unblocked(lab: Lab) -> None:
    job = lab.submit("lab.by_owner", log=str(lab.folder / "log"), name="one")
    from offload.jobs.models import Job

    # As it was before it got its place.
    Job.objects.filter(pk=job.pk).update(due_at=None, place=None, unblock_at=F("created_at"))
    ahead(job, "created_at", "unblock_at")
    run_maintenance(RecordingBroker())
    job.refresh_from_db()
    assert job.unblock_at is None
    assert is_due(job)

    ahead(job, "created_at", "due_at")
    run_maintenance(RecordingBroker())
    assert is_due(job)


def test_a_message_of_a_clock_that_was_ahead_is_an_old_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    job = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=job.pk).update(due_at=from_now(-60), published_at=from_now(86_400))
    broker = RecordingBroker()
    # It has the job's message. Else the job would be published again at once.
    monkeypatch.setattr(broker, "depth", lambda queue: 1)
    run_maintenance(broker)
    assert Job.objects.filter(pk=job.pk, published_at__lte=from_now(1)).exists()


def test_a_worker_that_died_before_the_clock_was_put_back_counts_no_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from offload.conf import conf
    from offload.jobs import row_states
    from offload.jobs.models import Worker
    from offload.jobs.row_states import from_now

    briefly = dataclasses.replace(conf(), worker_silence=0.2)
    monkeypatch.setattr(row_states, "conf", lambda: briefly)
    Worker.objects.create(
        id=uuid4(), name="dead", queues=["cpu"], slots=1, seen_at=from_now(86_400)
    )
    run_maintenance(RecordingBroker())
    time.sleep(0.3)
    assert run_maintenance(RecordingBroker()).workers == 0


def test_a_cancel_of_a_clock_that_was_ahead_is_an_old_one(lab: Lab) -> None:
    """A supervisor kills a silent job some time after that."""
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    job = claimed(lab)
    transitions.request_cancel(job.pk)
    ahead(job, "cancel_requested_at")
    run_maintenance(RecordingBroker())
    assert Job.objects.filter(pk=job.pk, cancel_requested_at__lte=from_now(1)).exists()


def test_a_clock_that_is_put_forward_costs_no_living_worker_its_jobs(lab: Lab) -> None:
    """All leases have ended at once. Each worker has a lease's time to renew its own."""
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.models import Leader
    from offload.jobs.stats import JobStats

    Leader.objects.all().delete()
    broker: Any = RecordingBroker()
    maintenance = Maintenance(broker, JobStats(), EventPublisher())
    maintenance.run()
    observation, clock = maintenance._observation, maintenance._leadership.clock
    assert observation._since is not None
    observation._since -= 3600.0

    (job,) = lost(lab, 1)
    assert clock._last is not None
    clock._last = clock._last._replace(now=clock._last.now - timedelta(hours=1))
    maintenance.run()
    assert status(job) == "running"
    observation._since -= 3600.0
    maintenance.run()
    assert status(job) == "queued"
