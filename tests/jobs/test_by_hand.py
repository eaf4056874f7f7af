"""Jobs that somebody retries or discards, on both databases. The test plays the worker."""

import logging
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .families import claimed, divided, nested
from .test_families import states


def failed(lab: Lab, kind: str = "lab.burn", **params: Any) -> Any:
    """A job that has failed at its last attempt."""
    from offload.jobs import transitions
    from offload.jobs.models import Job

    job = claimed(lab.submit(kind, **params).pk)
    Job.objects.filter(pk=job.pk).update(attempts=3)
    assert transitions.fail(job, "the disk is full", "OSError: /data is full")
    job.refresh_from_db()
    return job


def retry(job: Any) -> Any:
    from offload.jobs.control import retry_job

    return retry_job(job.pk, "the tests")


def discard(job: Any) -> None:
    from offload.jobs.control import discard_job

    discard_job(job.pk, "the tests")


def refusal(action: Any, job: Any) -> str:
    """Why an action answers 409."""
    from offload.problems import Problem

    with pytest.raises(Problem) as refused:
        action(job)
    assert refused.value.status == 409
    return refused.value.detail


def test_a_retry_keeps_the_id_and_gives_all_attempts_again(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    before = failed(lab)
    with caplog.at_level(logging.WARNING, "offload.jobs"):
        row = retry(before)
    assert (row.pk, row.status, row.attempts, row.error) == (before.pk, "queued", 0, "")
    assert row.token > before.token
    assert row.version > before.version
    assert (row.started_at, row.finished_at, row.expires_at, row.error_detail) == (*[None] * 3, "")
    # What the row forgets is in the log.
    assert caplog.messages[0] == (
        f"job {row.pk} is retried by the tests; until now it was failed, after 3 of 3 attempts: "
        "OSError: /data is full"
    )
    assert claimed(row.pk).attempts == 1


def test_a_cancelled_job_can_be_retried(lab: Lab) -> None:
    from offload.jobs import transitions

    job = lab.submit("lab.burn", units=1)
    assert transitions.request_cancel(job.pk).status == "cancelled"
    row = retry(job)
    assert (row.status, row.cancel_requested_at) == ("queued", None)
    assert transitions.succeed(claimed(row.pk), {"value": 1}, "").status == "succeeded"


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
def test_no_other_job_can_be_retried(lab: Lab, status: str) -> None:
    from offload.jobs import transitions

    job = lab.submit("lab.burn", units=1)
    if status != "queued":
        row = claimed(job.pk)
    if status == "succeeded":
        transitions.succeed(row, {"value": 1}, "")
    assert f"is {status}: only a failed or cancelled job" in refusal(retry, job)
    assert states([job]) == [status]


def test_a_late_worker_changes_nothing_after_a_retry(lab: Lab) -> None:
    from offload.jobs import transitions

    job = claimed(lab.submit("lab.burn", units=1).pk)
    assert transitions.fail(job, "worker lost")
    retry(job)
    second = claimed(job.pk)
    assert transitions.succeed(job, {"value": 1}, "") is None
    assert transitions.fail(job, "late") is None
    assert transitions.progress(job, 0.5, "late") is None
    assert transitions.succeed(second, {"value": 2}, "").result == {"value": 2}


def test_a_unique_job_is_not_retried_beside_its_twin(lab: Lab) -> None:
    from offload.jobs import transitions

    first = failed(lab, "lab.unique", log="/dev/null")
    twin = lab.submit("lab.unique", log="/dev/null")
    assert twin.pk != first.pk
    assert f"the job {twin.pk} with the same parameters has not ended" in refusal(retry, first)
    first.refresh_from_db()
    assert (first.status, first.error) == ("failed", "the disk is full")

    transitions.request_cancel(twin.pk)
    assert retry(first).status == "queued"
    assert f"the job {first.pk}" in refusal(retry, twin)


async def test_an_idempotency_key_gives_the_retried_job_again(lab: Lab) -> None:
    from asgiref.sync import sync_to_async

    from offload.jobs import Idempotency, retry, submit
    from offload.jobs.declare import find_job_type
    from offload.jobs.models import Job

    job_type = find_job_type("lab.burn")
    key = Idempotency("key", "fingerprint")

    async def post() -> Any:
        params = job_type.params(log="/dev/null", units=1)
        return await submit(job_type, params, owner="lab", idempotency=key)

    job = await post()
    await Job.objects.filter(pk=job.pk).aupdate(status="failed", due_at=None)
    assert (await retry(job)).pk == (await post()).pk == job.pk
    assert await sync_to_async(Job.objects.count)() == 1


def test_a_whole_that_failed_waits_for_its_parts_again(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 3)
    assert transitions.succeed(parts[0], {"value": 5}, "")
    assert transitions.fail(parts[1], "ValueError")
    # The third part still computes and is asked to stop.
    assert states([whole, *parts]) == ["failed", "succeeded", "failed", "running"]

    row = retry(whole)
    assert (row.status, row.phase, row.due_at, row.error) == ("running", "parts", None, "")
    assert states(parts) == ["succeeded", "queued", "queued"]
    assert [part.cancel_requested_at for part in parts] == [None] * 3
    # The process that computed the third part is fenced out.
    stale = parts[2]
    stale.token -= 1
    assert transitions.stop(stale) is None
    for part in parts[1:]:
        assert transitions.succeed(claimed(part.pk), {"value": 1}, "")
    assert claimed(whole.pk).phase == "join"


def test_a_retry_of_a_part_brings_its_whole_back(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 3)
    assert transitions.succeed(parts[0], {"value": 5}, "")
    assert transitions.fail(parts[1], "ValueError")
    assert retry(parts[1]).pk == parts[1].pk
    assert states([whole, *parts]) == ["running", "succeeded", "queued", "queued"]


def test_a_retry_of_a_leaf_brings_all_above_it_back(lab: Lab) -> None:
    from offload.jobs import transitions

    top, middles, leaves = nested(lab)
    assert transitions.succeed(leaves[0], {"value": 1}, "")
    assert transitions.fail(leaves[1], "ValueError")
    assert states([top, *middles]) == ["failed", "failed", "cancelled"]
    assert retry(leaves[1]).status == "queued"
    assert states([top, *middles]) == ["running"] * 3
    assert states(leaves) == ["succeeded", "queued", "queued", "queued"]

    for leaf in leaves[1:]:
        assert transitions.succeed(claimed(leaf.pk), {"value": 1}, "")
    for middle in middles:
        assert transitions.succeed(claimed(middle.pk), {"value": 2}, "")
    assert claimed(top.pk).phase == "join"


def test_a_join_that_failed_is_tried_again_without_its_parts(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 2)
    for part in parts:
        assert transitions.succeed(part, {"value": 1}, "")
    assert transitions.fail(claimed(whole.pk), "ValueError")
    row = retry(whole)
    assert (row.status, row.phase) == ("queued", "join")
    assert states(parts) == ["succeeded"] * 2
    assert claimed(whole.pk).attempts == 1


def test_a_whole_that_was_cancelled_as_its_last_part_ended_is_joined(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 1)
    assert transitions.request_cancel(whole.pk).status == "cancelled"
    assert transitions.succeed(parts[0], {"value": 1}, "")
    assert retry(whole).phase == "join"


def test_a_whole_whose_parts_were_deleted_is_divided_again(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    whole, parts = divided(lab, 3)
    assert transitions.fail(parts[0], "ValueError")
    # `prune.py` deletes the parts of an expired job in batches.
    Job.objects.filter(pk=parts[1].pk).delete()
    row = retry(whole)
    assert (row.status, row.phase, row.parts_count) == ("queued", "", 0)
    assert not Job.objects.filter(parent=whole).exists()


def test_a_part_of_a_job_that_does_not_wait_for_it_cannot_be_retried(lab: Lab) -> None:
    from offload.jobs.models import Job

    whole, parts = divided(lab, 2)
    Job.objects.filter(pk=parts[0].pk).update(status="failed")
    Job.objects.filter(pk=whole.pk).update(status="succeeded")
    assert f"the job {whole.pk}, which is succeeded and does not wait" in refusal(retry, parts[0])


def test_a_discarded_job_is_gone_with_its_parts_and_its_files(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job, ResultFile

    whole, parts = divided(lab, 3)
    transitions.announce_file(parts[0], "job-results/discarded.json")
    assert transitions.fail(parts[0], "ValueError")
    discard(whole)
    assert not Job.objects.exists()
    # `prune.py` deletes files without a job.
    assert ResultFile.objects.get().job is None
    # Parts that were still computed find no row.
    assert transitions.succeed(parts[1], {"value": 1}, "") is None
    assert transitions.fail(parts[2], "late") is None


def test_a_late_result_of_a_discarded_job_is_dropped(lab: Lab) -> None:
    from offload.jobs.worker.kept_end import KeptResult

    whole, parts = divided(lab, 1)
    from offload.jobs import transitions

    assert transitions.request_cancel(whole.pk).status == "cancelled"
    discard(whole)
    large = '"' + "x" * 200_000 + '"'
    assert KeptResult(parts[0], large)() is None


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_unfinished_job_cannot_be_discarded(lab: Lab, status: str) -> None:
    job = lab.submit("lab.burn", units=1)
    if status == "running":
        claimed(job.pk)
    assert f"is {status}: cancel it before you discard it" in refusal(discard, job)


def test_a_part_cannot_be_discarded_alone(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 2)
    assert transitions.fail(parts[0], "ValueError")
    assert f"discard its divided job {whole.pk}" in refusal(discard, parts[0])


def test_a_job_of_many_parts_is_discarded_in_batches(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import by_hand, transitions
    from offload.jobs.models import Job

    monkeypatch.setattr(by_hand, "DELETE_BATCH_ROWS", 2)
    whole, parts = divided(lab, 5)
    assert transitions.fail(parts[0], "ValueError")
    discard(whole)
    assert not Job.objects.exists()


def test_an_expired_job_is_pruned_or_retried_and_never_half(lab: Lab) -> None:
    from offload.jobs.maintenance.prune import Prune
    from offload.jobs.models import Job
    from offload.problems import Problem

    first, second = failed(lab), failed(lab)
    Job.objects.update(expires_at=first.created_at - timedelta(days=1))
    assert retry(first).expires_at is None
    Prune().run()
    assert states([first]) == ["queued"]
    with pytest.raises(Problem) as refused:
        retry(second)
    assert refused.value.status == 404


def test_what_failed_and_why_is_counted(lab: Lab) -> None:
    from offload.jobs.control import failed_jobs, group_failures

    for _ in range(2):
        failed(lab)
    failed(lab, "lab.silent")
    failed(lab, owner="another")
    lab.submit("lab.burn", units=1)

    def counted(owner: str = "") -> list[Any]:
        groups = group_failures(failed_jobs(owner=owner))
        return [(group.kind, group.error, group.count) for group in groups]

    assert counted() == [
        ("lab.burn", "the disk is full", 3),
        ("lab.silent", "the disk is full", 1),
    ]
    assert counted("another") == [("lab.burn", "the disk is full", 1)]
    assert failed_jobs(kind="lab.burn", error="another one").count() == 0
    assert failed_jobs(kind="lab.burn", error="a\0b").count() == failed_jobs("\0").count() == 0


def test_only_the_newest_failures_are_counted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.jobs import control
    from offload.jobs.models import Job

    old, *newest = [failed(lab) for _ in range(4)]
    # Jobs that were submitted in one transaction have one moment.
    at = old.created_at
    Job.objects.filter(pk__in=[job.pk for job in newest]).update(created_at=at)
    Job.objects.filter(pk=old.pk).update(created_at=at - timedelta(seconds=1))

    def counted() -> list[int]:
        return [group.count for group in control.group_failures(control.failed_jobs())]

    monkeypatch.setattr(control, "MAX_GROUPED_JOBS", 1)
    assert counted() == [3]
    monkeypatch.setattr(control, "MAX_GROUPED_JOBS", 4)
    assert counted() == [4]
    monkeypatch.setattr(control, "MAX_GROUPED_JOBS", 5)
    assert counted() == [4]


def test_an_action_on_many_jobs_tells_which_it_was_not_done_with(lab: Lab) -> None:
    from offload.jobs.control import for_each, retry_job

    jobs = [failed(lab), lab.submit("lab.burn", units=1), failed(lab)]
    unknown = uuid4()
    outcome = for_each(retry_job, [*(job.pk for job in jobs), unknown], "the tests")
    assert outcome.done == [jobs[0].pk, jobs[2].pk]
    assert set(outcome.refused) == {jobs[1].pk, unknown}
