"""Jobs that begin at a time or not after it, on both databases, moved by the test."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from .conftest import Lab
from .families import claimed, parts_of
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import quiet as quiet
from .test_submit import key, submit

HOUR = timedelta(hours=1)
# In UTC it is in the year 10,000, which Python has not.
FAR_AWAY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(-5 * HOUR))


def now() -> datetime:
    return datetime.now(UTC)


def claim(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.claim(job.pk, uuid4(), 1)


def shift(job: Any, **columns: timedelta) -> None:
    """Move times of a row."""
    from offload.jobs.models import Job

    job.refresh_from_db()
    moved = {name: getattr(job, name) + by for name, by in columns.items()}
    Job.objects.filter(pk=job.pk).update(**moved)


async def test_a_job_for_later_is_not_claimed_before_its_time(quiet: Lab) -> None:
    run_at = now() + HOUR
    job = await submit("lab.burn", "/dev/null", run_at=run_at)
    assert abs(job.due_at - run_at) < timedelta(milliseconds=2)
    assert await sync_to_async(claim)(job) is None

    await sync_to_async(shift)(job, due_at=-HOUR)
    assert await sync_to_async(claim)(job) is not None


async def test_a_job_for_later_is_published_when_its_time_comes(quiet: Lab) -> None:
    job = await submit("lab.burn", "/dev/null", run_at=now() + HOUR)
    broker = RecordingBroker()
    stats = await sync_to_async(run_maintenance)(broker)
    assert broker.published == []
    # It counts neither for the depth nor for the age of its queue.
    assert stats.queues == {}

    await sync_to_async(shift)(job, due_at=-HOUR - timedelta(seconds=1))
    await sync_to_async(run_maintenance)(broker)
    assert set(broker.published) == {str(job.pk)}


async def test_a_time_that_has_passed_is_now(lab: Lab) -> None:
    job = await submit("lab.burn", "/dev/null", run_at=now() - HOUR)
    # Its age in the queue is not an hour, for which other jobs would be refused.
    assert abs(job.due_at - job.created_at) < timedelta(minutes=1)
    assert await sync_to_async(claim)(job) is not None


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"run_at": datetime(2030, 1, 1)}, "run_at needs a time zone"),
        ({"start_before": datetime(2030, 1, 1)}, "start_before needs a time zone"),
        ({"run_at": FAR_AWAY}, "run_at=9999-12-31 23:59:59-05:00 is more than 100 years from now"),
        ({"start_before": FAR_AWAY}, "start_before=9999-12-31 23:59:59-05:00 is more than 100"),
        ({"start_before": now() - HOUR}, "must be later than now"),
        ({"run_at": now() + 2 * HOUR, "start_before": now() + HOUR}, "must be later than now"),
    ],
)
async def test_times_that_cannot_be_kept_are_refused(lab: Lab, times: Any, says: str) -> None:
    from offload.problems import Problem

    with pytest.raises(Problem, match=says) as refused:
        await submit("lab.burn", "/dev/null", **times)
    assert refused.value.status == 422


async def test_a_repeated_request_gets_its_job_after_the_deadline(lab: Lab) -> None:
    first = await submit("lab.burn", "/dev/null", key("a"), start_before=now() + HOUR)
    again = await submit("lab.burn", "/dev/null", key("a"), start_before=now() - HOUR)
    assert first.pk == again.pk


async def test_a_job_that_nobody_began_in_time_fails_with_a_sentence(quiet: Lab) -> None:
    job = await submit("lab.burn", "/dev/null", start_before=now() + HOUR)
    await sync_to_async(run_maintenance)(RecordingBroker())
    assert (await sync_to_async(job.__class__.objects.get)(pk=job.pk)).status == "queued"

    await sync_to_async(shift)(job, start_before=-2 * HOUR)
    assert await sync_to_async(claim)(job) is None
    broker = RecordingBroker()
    await sync_to_async(run_maintenance)(broker)
    await job.arefresh_from_db()
    assert job.status == "failed"
    assert job.error.startswith("no worker began it before 20")
    assert (job.due_at, job.start_before, broker.published) == (None, None, [])


async def test_a_job_that_began_in_time_is_tried_again_after_the_deadline(quiet: Lab) -> None:
    from offload.jobs import transitions

    job = await submit("lab.burn", "/dev/null", start_before=now() + HOUR)
    row = await sync_to_async(claimed)(job.pk)
    assert row.start_before is None
    assert await sync_to_async(transitions.reclaim)(row, "worker lost")
    assert await sync_to_async(claim)(job) is not None


def test_a_types_own_deadline_counts_from_the_time_a_job_is_for(lab: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    prompt = find_job_type("lab.prompt")
    params = prompt.params(log="/dev/null", units=1)

    def deadline(**times: Any) -> Any:
        job = Job.objects.get(pk=submit_sync(prompt, params, owner="lab", **times).pk)
        return job.start_before - job.due_at

    tolerance = timedelta(minutes=1)
    assert abs(deadline() - HOUR) < tolerance
    assert abs(deadline(run_at=now() + 5 * HOUR) - HOUR) < tolerance
    assert abs(deadline(start_before=now() + 2 * HOUR) - 2 * HOUR) < tolerance


def test_parts_have_the_deadline_of_their_own_type(lab: Lab) -> None:
    from offload.jobs import transitions

    whole = claimed(lab.submit("lab.prompt_whole", logs=["/dev/null"] * 2).pk)
    parts = parts_of(whole)
    assert transitions.divide(whole, parts)
    for part in whole.parts.all():
        assert part.start_before - part.due_at == HOUR
        assert claim(part) is not None


def test_a_retry_by_hand_has_no_deadline(lab: Lab) -> None:
    from offload.jobs.control import retry_job

    job = lab.submit("lab.prompt")
    shift(job, start_before=-2 * HOUR)
    run_maintenance(RecordingBroker())
    row = retry_job(job.pk, "the tests")
    assert (row.status, row.start_before) == ("queued", None)
    assert claim(job) is not None


async def test_many_jobs_can_be_for_later(lab: Lab) -> None:
    from offload.jobs import submit_many
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    burn = find_job_type("lab.burn")
    params = [burn.params(log="/dev/null", units=1)] * 3
    await submit_many(burn, params, owner="lab", run_at=now() + HOUR, start_before=now() + 2 * HOUR)
    assert await Job.objects.filter(due_at__gt=now(), start_before__gt=now() + HOUR).acount() == 3
