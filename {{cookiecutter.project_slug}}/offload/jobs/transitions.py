"""Every arrow of the state machine, each one fenced UPDATE: whoever holds an old token changes
nothing.

All functions are synchronous and need a thread of their own from async code. They return the job's
new row, or None where the row had moved on, and leave telling the watchers to their callers.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Avg, Count, DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from offload.conf import conf
from offload.jobs.models import Job, Phase, Status


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )


def due() -> Q:
    """Rows that a worker may claim now: queued ones, and divided ones whose parts are all there."""
    queued = Q(status=Status.QUEUED) & (Q(not_before=None) | Q(not_before__lte=Now()))
    return queued | Q(status=Status.RUNNING, phase=Phase.JOIN, worker=None)


def _change(where: Q, job_id: UUID, **values: Any) -> Job | None:
    with transaction.atomic():
        changed = Job.objects.filter(where, pk=job_id).update(version=F("version") + 1, **values)
        job = Job.objects.get(pk=job_id) if changed else None
        if job is not None and job.parent_id and job.final:
            _part_ended(job, job.parent_id)
        return job


def _held(token: int) -> Q:
    return Q(status=Status.RUNNING, token=token)


def _wanted(token: int) -> Q:
    """Held, and nobody has asked it to stop: who was asked does not go on in another way."""
    return _held(token) & Q(cancel_requested_at=None)


_UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}


def claim(job_id: UUID, worker: UUID, pid: int) -> Job | None:
    """queued → running, with a new token, one more attempt and a lease. None: a duplicate ring, or
    not yet due.
    """
    return _change(
        due(),
        job_id,
        status=Status.RUNNING,
        token=F("token") + 1,
        attempts=F("attempts") + 1,
        worker=worker,
        pid=pid,
        lease_until=from_now(conf().lease),
        started_at=Coalesce("started_at", Now()),
        not_before=None,
        message="",
    )


def progress(job: Job, fraction: float, message: str) -> Job | None:
    """Note how far a running job is. None: the lease was lost, and the token with it."""
    return _change(_held(job.token), job.pk, progress=fraction, message=message)


def succeed(job: Job, result: Any, result_file: str, lifetime: float) -> Job | None:
    """running → succeeded."""
    return _finish(
        job,
        Status.SUCCEEDED,
        lifetime,
        result=result,
        result_file=result_file,
        progress=1.0,
        message="",
        error="",
    )


def fail(job: Job, error: str, lifetime: float) -> Job | None:
    """running → failed, with the reason in words."""
    return _finish(job, Status.FAILED, lifetime, error=error)


def stop(job: Job, lifetime: float) -> Job | None:
    """running → cancelled, when the work has really stopped."""
    return _finish(job, Status.CANCELLED, lifetime)


def _ended(status: Status, lifetime: float) -> dict[str, Any]:
    return {"status": status, "finished_at": Now(), "expires_at": from_now(lifetime)}


def _finish(job: Job, status: Status, lifetime: float, **values: Any) -> Job | None:
    return _change(_held(job.token), job.pk, **_ended(status, lifetime), **_UNHELD, **values)


def divide(job: Job, parts: list[Job]) -> Job | None:
    """running → waiting for parts: they are inserted and the worker is let go, in one transaction.

    A job that was asked to stop meanwhile is not divided, but cancelled.
    """
    with transaction.atomic():
        values = {"phase": Phase.PARTS, "attempts": F("attempts") - 1, "token": F("token") + 1}
        divided = _change(_wanted(job.token), job.pk, **values, **_UNHELD)
        if divided is None:
            return stop(job, conf().result_lifetime)
        Job.objects.bulk_create(parts)
        return divided


def _part_ended(part: Job, parent_id: UUID) -> None:
    """In the transaction that ended a part: the last success makes its parent due, anything else
    fails it.
    """
    # Two last parts must not overlook each other.
    parent = Job.objects.select_for_update().get(pk=parent_id)
    waiting = Q(status=Status.RUNNING, phase=Phase.PARTS)
    if part.status != Status.SUCCEEDED:
        error = f"part {part.number} {part.status}: {part.error}".rstrip(": ")
        if _change(
            waiting, parent.pk, error=error, **_ended(Status.FAILED, conf().result_lifetime)
        ):
            _cancel_parts(parent.pk, conf().result_lifetime)
    elif not parent.parts.exclude(status=Status.SUCCEEDED).exists():
        _change(waiting, parent.pk, phase=Phase.JOIN, progress=1.0)


def _cancel_parts(job_id: UUID, lifetime: float) -> None:
    parts = Job.objects.filter(parent=job_id)
    changed = {"version": F("version") + 1, "cancel_requested_at": Now()}
    parts.filter(status=Status.QUEUED).update(**_ended(Status.CANCELLED, lifetime), **changed)
    parts.filter(status=Status.RUNNING, cancel_requested_at=None).update(**changed)


def parts_progress(part: Job) -> Job | None:
    """Give a divided job the mean progress of its parts; its new row, for the watchers."""
    if part.parent_id is None:
        return None
    parts = Job.objects.filter(parent=part.parent_id).aggregate(
        mean=Avg("progress"), done=Count("finished_at"), all=Count("pk")
    )
    message = f"{parts['done']} of {parts['all']} parts"
    waiting = Q(status=Status.RUNNING, phase=Phase.PARTS)
    return _change(waiting, part.parent_id, progress=parts["mean"], message=message)


def retry(job: Job, error: str, delay: float) -> Job | None:
    """running → queued after an error worth another attempt; waits `delay` seconds as a queued row."""
    return _requeue(job, error=error, not_before=from_now(delay))


def hand_back(job: Job) -> Job | None:
    """running → queued when a worker shuts down: a new token, and the attempt is returned."""
    return _requeue(job, attempts=F("attempts") - 1)


def lose(job: Job, reason: str, lifetime: float) -> Job | None:
    """running → queued, or failed after the last attempt, or cancelled if that was asked: its
    process is gone.
    """
    if job.cancel_requested_at:
        return stop(job, lifetime)
    error = f"{reason}, attempt {job.attempts} of {job.max_attempts}"
    if job.attempts >= job.max_attempts:
        return fail(job, error, lifetime)
    return _requeue(job, error=error)


def _requeue(job: Job, **values: Any) -> Job | None:
    """running → queued, or cancelled if that was asked."""
    token: Combinable = F("token") + 1
    queued = _change(
        _wanted(job.token), job.pk, status=Status.QUEUED, token=token, **_UNHELD, **values
    )
    return queued or stop(job, conf().result_lifetime)


def request_cancel(job_id: UUID, lifetime: float) -> Job:
    """queued → cancelled at once; a running job is asked to stop. Asking again changes nothing.

    Raises:
        Job.DoesNotExist: no such job.
    """
    asked = {"cancel_requested_at": Now()}
    unheld = Q(status=Status.QUEUED) | Q(status=Status.RUNNING, worker=None)
    with transaction.atomic():
        _cancel_parts(job_id, lifetime)
        return (
            _change(unheld, job_id, **_ended(Status.CANCELLED, lifetime), **asked)
            or _change(Q(status=Status.RUNNING, cancel_requested_at=None), job_id, **asked)
            or Job.objects.get(pk=job_id)
        )


def renew(worker: UUID, job_ids: list[UUID]) -> None:
    """Push the leases of a worker's running jobs forward. No version: nothing a watcher would see."""
    Job.objects.filter(pk__in=job_ids, worker=worker, status=Status.RUNNING).update(
        lease_until=from_now(conf().lease)
    )
