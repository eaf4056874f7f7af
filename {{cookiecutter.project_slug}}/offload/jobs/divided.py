"""The life of a divided job, from its division to its end.

    claim --> divide --> waits for its parts --> due again --> claim --> its function combines them
              (PARTS)                            (JOIN)

1. A worker claims the job and makes its parts (`make_parts`).
2. `divide` inserts the parts and releases the job in one transaction. The job stays `running`, in
   the phase PARTS; no worker holds it.
3. Workers compute the parts, as any job. Their progress is the job's (`update_progress`).
4. The last part that succeeds makes the job due again, in the phase JOIN (`_part_ended`).
5. A worker claims the job again; its function gets the results of the parts (`part_results`).
6. A part that fails or is cancelled fails the job, and the other parts are cancelled.
7. A job that is cancelled cancels its parts (`cancel_parts`).

Every transition that writes more than one row of a divided job is in this file. The order of its
locks is documented at `database.lock_parent`.
"""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Avg, Count, F, Q
from django.db.models.functions import Now
from pydantic import BaseModel

from offload.jobs.database import (
    DUE_NOW,
    UNHELD,
    ended,
    fenced_update,
    held_and_wanted,
    lock_parent,
)
from offload.jobs.declare import JobType
from offload.jobs.models import FINAL, Job, Phase, Status

WAITS_FOR_PARTS = Q(status=Status.RUNNING, phase=Phase.PARTS)


def update_job(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """One fenced UPDATE. If it ended a part, the parent is updated in the same transaction.

    Returns:
        The job's new row; None where it had moved on.
    """
    with transaction.atomic():
        job = fenced_update(where, job_id, **values)
        if job is not None and job.parent_id and job.final:
            _part_ended(job, job.parent_id)
        return job


def make_parts(job_type: JobType[Any, Any], job: Job, params: BaseModel) -> list[Job]:
    """The unsaved rows of a job's parts.

    Raises:
        ValueError: `split` gave no parts.
    """
    assert job_type.split is not None
    assert job_type.part is not None

    parts = [
        Job.new(
            job_type.part,
            part_params,
            job.owner,
            parent=job,
            number=number,
            request_id=job.request_id,
        )
        for number, part_params in enumerate(job_type.split(params), 1)
    ]
    if not parts:
        raise ValueError(f"{job_type.name!r} was divided into no parts: split must give at least 1")
    return parts


def divide(job: Job, parts: list[Job]) -> Job | None:
    """running → waits for its parts: the parts are inserted and the worker is released.

    Returns:
        The job's new row; None where the lease was lost, or somebody asked the job to stop.
    """
    with transaction.atomic():
        divided = update_job(
            held_and_wanted(job.token),
            job.pk,
            phase=Phase.PARTS,
            parts_count=len(parts),
            attempts=F("attempts") - 1,
            token=F("token") + 1,
            **UNHELD,
        )
        if divided is not None:
            Job.objects.bulk_create(parts)
        return divided


def part_results(job_type: JobType[Any, Any], job: Job) -> list[BaseModel]:
    """The results of a job's parts, in the order of their numbers.

    Raises:
        RuntimeError: a part's row is missing, so that the combined result would be wrong.
    """
    assert job_type.part is not None
    parts = list(job.parts.order_by("number"))
    if len(parts) != job.parts_count:
        raise RuntimeError(
            f"{len(parts)} of {job.parts_count} parts are in the database: somebody deleted the "
            f"others. Submit the job again"
        )

    model: type[BaseModel] = job_type.part.result
    return [model.model_validate(part.load_result()) for part in parts]


def update_progress(part: Job) -> Job | None:
    """Give a divided job the mean progress of its parts.

    Returns:
        The divided job's new row; None where `part` is no part, or its parent waits no longer.
    """
    if part.parent_id is None:
        return None

    parts = Job.objects.filter(parent=part.parent_id).aggregate(
        mean=Avg("progress"), done=Count("finished_at"), all=Count("pk")
    )
    message = f"{parts['done']} of {parts['all']} parts"
    return update_job(WAITS_FOR_PARTS, part.parent_id, progress=parts["mean"], message=message)


def has_unfinished_parts(job_id: UUID) -> bool:
    """Whether a part of this job still waits or runs."""
    return Job.objects.filter(parent=job_id).exclude(status__in=FINAL).exists()


def settle(job_id: UUID) -> Job | None:
    """Make a divided job due, or fail it, if none of its parts is unfinished any more.

    The net under `_part_ended`; `maintenance/settle_divided.py` says when it is needed.

    Returns:
        The job's new row; None where it need not be settled.
    """
    parent = lock_parent(job_id)
    parts = Job.objects.filter(parent=job_id).order_by("number")
    if has_unfinished_parts(job_id):
        return None

    bad = parts.exclude(status=Status.SUCCEEDED).first()
    if bad is not None:
        error = f"part {bad.number} {bad.status}: {bad.error}".rstrip(": ")
        return update_job(WAITS_FOR_PARTS, job_id, error=error, **ended(Status.FAILED))
    if parts.count() != parent.parts_count:
        error = f"only {parts.count()} of {parent.parts_count} parts are in the database"
        return update_job(WAITS_FOR_PARTS, job_id, error=error, **ended(Status.FAILED))
    return update_job(WAITS_FOR_PARTS, job_id, phase=Phase.JOIN, progress=1.0, **DUE_NOW)


def cancel_parts(job_id: UUID) -> None:
    """Cancel a job's queued parts, and ask its running parts to stop."""
    parts = Job.objects.filter(parent=job_id)
    asked = {"version": F("version") + 1, "cancel_requested_at": Now()}

    parts.filter(status=Status.QUEUED).update(**ended(Status.CANCELLED), **asked)
    parts.filter(status=Status.RUNNING, cancel_requested_at=None).update(**asked)


def _part_ended(part: Job, parent_id: UUID) -> None:
    """Update the parent in the transaction that ended a part.

    Three cases:
    1. The part did not succeed: the parent fails, and its other parts are cancelled.
    2. All parts have succeeded: the parent is due again.
    3. Other parts still run: nothing changes.
    """
    # Without the lock, two parts that end at the same time would each see the other one running.
    parent = lock_parent(parent_id)

    if part.status != Status.SUCCEEDED:
        error = f"part {part.number} {part.status}: {part.error}".rstrip(": ")
        if update_job(WAITS_FOR_PARTS, parent.pk, error=error, **ended(Status.FAILED)):
            cancel_parts(parent.pk)
    elif not parent.parts.exclude(status=Status.SUCCEEDED).exists():
        update_job(WAITS_FOR_PARTS, parent.pk, phase=Phase.JOIN, progress=1.0, **DUE_NOW)
