"""Every arrow of the state machine, each one fenced UPDATE: whoever holds an old token changes nothing.

All functions are synchronous and need a thread of their own from async code. They return the job's new row, or
None where the row had moved on, and leave telling the watchers to their callers.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Now

from offload.conf import conf
from offload.jobs.models import Job, Status


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def due() -> Q:
    """Queued rows that may run now."""
    return Q(status=Status.QUEUED) & (Q(not_before=None) | Q(not_before__lte=Now()))


def _change(where: Q, job_id: UUID, **values: Any) -> Job | None:
    with transaction.atomic():
        changed = Job.objects.filter(where, pk=job_id).update(version=F("version") + 1, **values)
        return Job.objects.get(pk=job_id) if changed else None


def _held(token: int) -> Q:
    return Q(status=Status.RUNNING, token=token)


_UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}


def claim(job_id: UUID, worker: UUID, pid: int) -> Job | None:
    """queued → running, with a new token, one more attempt and a lease. None: a duplicate ring, or not yet due."""
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
        progress=0.0,
        message="",
    )


def progress(job: Job, fraction: float, message: str) -> Job | None:
    """Note how far a running job is. None: the lease was lost, and the token with it."""
    return _change(_held(job.token), job.pk, progress=fraction, message=message)


def succeed(job: Job, result: Any, result_file: str, lifetime: float) -> Job | None:
    """running → succeeded."""
    return _finish(
        job, Status.SUCCEEDED, lifetime, result=result, result_file=result_file, progress=1.0, message="", error=""
    )


def fail(job: Job, error: str, lifetime: float) -> Job | None:
    """running → failed, with the reason in words."""
    return _finish(job, Status.FAILED, lifetime, error=error)


def stop(job: Job, lifetime: float) -> Job | None:
    """running → cancelled, when the work has really stopped."""
    return _finish(job, Status.CANCELLED, lifetime)


def _finish(job: Job, status: Status, lifetime: float, **values: Any) -> Job | None:
    ended = {"status": status, "finished_at": Now(), "expires_at": from_now(lifetime)}
    return _change(_held(job.token), job.pk, **ended, **_UNHELD, **values)


def retry(job: Job, error: str, delay: float) -> Job | None:
    """running → queued after an error worth another attempt; waits `delay` seconds as a queued row."""
    return _requeue(job, error=error, not_before=from_now(delay))


def hand_back(job: Job) -> Job | None:
    """running → queued when a worker shuts down: a new token, and the attempt is returned."""
    return _requeue(job, attempts=F("attempts") - 1)


def lose(job: Job, reason: str, lifetime: float) -> Job | None:
    """running → queued, or failed after the last attempt, or cancelled if that was asked: its process is gone."""
    if job.cancel_requested_at:
        return stop(job, lifetime)
    error = f"{reason}, attempt {job.attempts} of {job.max_attempts}"
    if job.attempts >= job.max_attempts:
        return fail(job, error, lifetime)
    return _requeue(job, error=error)


def _requeue(job: Job, **values: Any) -> Job | None:
    token: Combinable = F("token") + 1
    return _change(_held(job.token), job.pk, status=Status.QUEUED, token=token, **_UNHELD, **values)


def request_cancel(job_id: UUID, lifetime: float) -> Job:
    """queued → cancelled at once; a running job is asked to stop. Asking again changes nothing.

    Raises:
        Job.DoesNotExist: no such job.
    """
    ended = {"status": Status.CANCELLED, "finished_at": Now(), "expires_at": from_now(lifetime)}
    asked = {"cancel_requested_at": Now()}
    return (
        _change(Q(status=Status.QUEUED), job_id, **ended, **asked)
        or _change(Q(status=Status.RUNNING, cancel_requested_at=None), job_id, **asked)
        or Job.objects.get(pk=job_id)
    )


def renew(worker: UUID, job_ids: list[UUID]) -> None:
    """Push the leases of a worker's running jobs forward. No version: nothing a watcher would see."""
    Job.objects.filter(pk__in=job_ids, worker=worker, status=Status.RUNNING).update(lease_until=from_now(conf().lease))
