"""The state machine of a job. Each arrow is one function, and one fenced UPDATE.

              submit           claim                  succeed
    (nothing) ------> queued --------> running -----------------> succeeded
                       |  ^             |  |  |       fail
                       |  |             |  |  +-----------------> failed
                       |  |   retry     |  |
                       |  |   hand_back |  |          stop
                       |  +-- reclaim --+  +--------------------> cancelled
                       |                                             ^
                       +------------- request_cancel ----------------+
                       |
                       +------------- give_up ------------------> failed

    failed, cancelled ------ by_hand.retry ----> queued
    any end ---------------- by_hand.discard --> (nothing)

A worker that claims a job gets a new fencing token. Only the holder of the newest token changes a
running job: a worker that was frozen and wakes up changes nothing. A divided job is `running`
while it waits for its parts; `divided.py` has its life.

An end is more than one row's affair, so each is written by `divided.end_job`. In its transaction
the parent of a part changes, too, and the followers of a job are inserted.

The functions are synchronous and need a thread of their own in async code. They return the job's
new row, or None where the row had moved on. Their callers send the event to the watchers.
"""

from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, FloatField, IntegerField, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Now

from offload.conf import conf
from offload.jobs import divided
from offload.jobs.attempt_span import trace_interrupted
from offload.jobs.fenced_update import fenced_claim, update_job
from offload.jobs.metrics import HANDED_BACK, LOST, RETRIED, count
from offload.jobs.models import Job, ResultFile, Status
from offload.jobs.row_states import (
    NOT_WAITING,
    UNHELD,
    due,
    due_again,
    from_now,
    held,
    held_and_wanted,
    with_attempt,
)
from offload.jobs.transactions import retry_conflicts

# A divided job whose parts have succeeded is `running`: it is put together in the attempt that
# divided it. Rows of an older version may have no attempt then.
CLAIMED_ATTEMPTS = RawSQL(
    "CASE WHEN status = 'queued' OR attempts = 0 THEN attempts + 1 ELSE attempts END",
    (),
    output_field=IntegerField(),
)
# An attempt begins at 0. A divided job keeps the progress of its parts.
CLAIMED_PROGRESS = RawSQL(
    "CASE WHEN phase = '' THEN 0.0 ELSE progress END", (), output_field=FloatField()
)


def claim(job_id: UUID, worker: UUID, pid: int, kind: str | None = None) -> Job | None:
    """queued → running, with a new token, one more attempt and a lease.

    A divided job that is due again is put together in the attempt that divided it.

    Args:
        kind: the job type that the message names; None claims a job of any type.

    Returns:
        The new row; None where the job is not due: its message was a duplicate, or came early; or
        where the job is of another type.
    """
    where = due() if kind is None else due() & Q(kind=kind)
    values = {
        "status": Status.RUNNING,
        "token": F("token") + 1,
        "attempts": CLAIMED_ATTEMPTS,
        "progress": CLAIMED_PROGRESS,
        "worker": worker,
        "pid": pid,
        "lease_until": from_now(conf().lease),
        "was_due_at": F("due_at"),
        "claimed_at": Now(),
        "started_at": Coalesce("started_at", Now()),
        "message": "",
        **NOT_WAITING,
    }
    return retry_conflicts(partial(fenced_claim, where, job_id, **values))


def renew(worker: UUID, job_ids: list[UUID]) -> int:
    """Extend the leases of a worker's running jobs. Watchers see nothing of it: no new version.

    A row that another transaction has locked is passed over, so that one lock costs no other job
    its lease.

    Returns:
        How many leases were extended.
    """
    held_by_worker = Job.objects.filter(pk__in=job_ids, worker=worker, status=Status.RUNNING)
    with transaction.atomic():
        unlocked = held_by_worker.select_for_update(skip_locked=True).order_by("pk").values("pk")
        return held_by_worker.filter(pk__in=unlocked).update(lease_until=from_now(conf().lease))


def progress(job: Job, fraction: float, message: str, state: Any = None) -> Job | None:
    """Record how far a running job is, and its checkpoint if there is a new one.

    Returns:
        The new row; None where the lease was lost.
    """
    new = {} if state is None else {"checkpoint": state}
    return update_job(held(job.token), job.pk, progress=fraction, message=message, **new)


def announce_file(job: Job, name: str) -> None:
    """Note that a file of this job is about to be written, so that it is deleted with the job."""
    ResultFile.objects.get_or_create(name=name, defaults={"job": job})


def divide(job: Job, parts: list[Job], failed_parts_allowed: int = 0) -> Job | None:
    """running → waits for its parts; or cancelled, if that was requested meanwhile."""
    return divided.divide(job, parts, failed_parts_allowed) or stop(job)


def succeed(job: Job, result: Any, result_file: str) -> Job | None:
    """running → succeeded, with the two values of `Job.store_result`."""
    return _finish(
        job,
        Status.SUCCEEDED,
        result=result,
        result_file=result_file,
        progress=1.0,
        message="",
        checkpoint=None,
        error="",
        error_detail="",
    )


def fail(job: Job, error: str, detail: str = "") -> Job | None:
    """running → failed, with the reason in words, and in detail for operators."""
    return _finish(job, Status.FAILED, error=error, error_detail=detail)


def stop(job: Job) -> Job | None:
    """running → cancelled, when the work has really stopped."""
    return _finish(job, Status.CANCELLED)


def retry(job: Job, error: str, delay: float, detail: str = "") -> Job | None:
    """running → queued after an error worth another attempt; due again after `delay` seconds."""
    row = _requeue(job, error, from_now(delay), error=error, error_detail=detail)
    if row is not None and row.status == Status.QUEUED:
        count(RETRIED, row)
    return row


def hand_back(job: Job) -> Job | None:
    """running → queued because the worker shuts down. The attempt does not count."""
    row = _requeue(job, "handed back: its worker was told to stop", attempts=F("attempts") - 1)
    if row is not None:
        trace_interrupted(job, row, "handed_back")
        if row.status == Status.QUEUED:
            count(HANDED_BACK, row)
    return row


def reclaim(job: Job, reason: str) -> Job | None:
    """running → another state, because the process that computed it is gone.

    Three cases:
    1. The job was asked to stop: it is cancelled.
    2. This was its last attempt: it fails, with `reason`.
    3. Else it is queued again.
    """
    error = f"{reason}, attempt {job.attempts} of {job.max_attempts}"
    if job.cancel_requested_at:
        row = stop(job)
    elif job.attempts >= job.max_attempts:
        row = fail(job, error)
    else:
        row = _requeue(job, error, error=error)

    if row is not None:
        count(LOST, row)
        trace_interrupted(job, row, "worker_lost")
    return row


def give_up(job_id: UUID, error: str, where: Q) -> Job | None:
    """queued → failed, because no worker will ever claim the job.

    Args:
        where: why it is given up, asked again: `row_states.due_or_blocked` or `row_states.overdue`.

    Raises:
        Job.DoesNotExist: no such job.
    """
    job = Job.objects.only("parent", "then", "on_end").get(pk=job_id)
    return divided.end_job(where, job, Status.FAILED, error=error)


def request_cancel(job_id: UUID) -> Job:
    """queued → cancelled at once. A running job is asked to stop. A second request changes nothing.

    Raises:
        Job.DoesNotExist: no such job.
    """
    return divided.request_cancel(Job.objects.get(pk=job_id))


def _finish(job: Job, status: Status, **values: Any) -> Job | None:
    return divided.end_job(held(job.token), job, status, **values)


def _requeue(job: Job, reason: str, due_at: Any = None, **values: Any) -> Job | None:
    """running → queued; or cancelled, if that was requested."""
    queued = update_job(
        held_and_wanted(job.token),
        job.pk,
        status=Status.QUEUED,
        token=F("token") + 1,
        past_attempts=with_attempt(job, reason),
        **UNHELD,
        **due_again(job, due_at),
        **values,
    )
    return queued or stop(job)
