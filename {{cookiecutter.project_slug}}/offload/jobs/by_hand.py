"""The two transitions that somebody asks for: a job that has ended is queued again, or deleted.

`control.py` calls them, and tells the others.

A retried job begins anew under its id: with a new fencing token, all its attempts, and no deadline
for its start. What succeeded of a divided job is kept:

1. It was to combine the results of its parts: it is due again.
2. It waited for its parts: it waits again, and the parts that did not succeed are queued again.
   A part that still computes is taken from its worker, because it was asked to stop.
3. Parts of it were deleted meanwhile: it is divided again.

A part cannot succeed for a job that has failed. So a retry of a part retries the failed jobs above
it, too, with all their parts that did not succeed.
"""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F
from django.db.models.functions import Now

from offload.jobs.models import Job, Phase, Status
from offload.jobs.row_states import NOT_WAITING, UNHELD, due_again, unfinished_with, with_attempt
from offload.jobs.transactions import in_transaction, lock_ancestors
from offload.problems import Problem

logger = logging.getLogger("offload.jobs")

# The states from which a job can be retried.
RETRIABLE = (Status.FAILED, Status.CANCELLED)
# Rows of one DELETE: a long one would hold SQLite's one write lock.
DELETE_BATCH_ROWS = 500

# The columns of a job that begins anew.
ANEW: dict[str, Any] = {
    "token": F("token") + 1,
    "version": F("version") + 1,
    "attempts": 0,
    "progress": 0.0,
    "message": "",
    "error": "",
    "error_detail": "",
    "cancel_requested_at": None,
    "started_at": None,
    "finished_at": None,
    "expires_at": None,
    "start_before": None,
    **UNHELD,
}
QUEUED_ANEW: dict[str, Any] = {**ANEW, "status": Status.QUEUED}
WAITS_ANEW: dict[str, Any] = {
    **ANEW,
    **NOT_WAITING,
    "unblock_at": None,
    "place": None,
    "claimed_at": None,
    "status": Status.RUNNING,
    "phase": Phase.PARTS,
    # Its parts are computed again, and not its division.
    "attempts": 1,
    "started_at": Now(),
}


def retry(job_id: UUID, by: str, admit: Callable[[Job], None] | None = None) -> list[Job]:
    """failed or cancelled → queued; a divided job may wait for its parts again.

    Args:
        by: who asked for it, for the log.
        admit: is given the job, and raises a `Problem` where too many wait.

    Returns:
        The new row of the job, and before it those of the jobs above it that were retried, too.

    Raises:
        Job.DoesNotExist: no such job.
        Problem: 409 with the reason why the job cannot be retried now; what `admit` raises.
    """
    job = Job.objects.only("parent", "unique_key").get(pk=job_id)

    def queue_again() -> tuple[Job, list[UUID]]:
        lock_ancestors(job)
        before = Job.objects.select_for_update().defer(*Job.LARGE_FIELDS).get(pk=job_id)
        if before.status not in RETRIABLE:
            raise Problem(
                409,
                f"job {job_id} is {before.status}: only a failed or cancelled job can be retried",
            )
        if admit is not None:
            admit(before)
        family = _failed_family(before)
        _queue_again(family[0])
        reason = f"retried by {by}; it was {before.status}: {before.error}".rstrip(": ")
        _write(before, past_attempts=with_attempt(before, reason))
        return before, [each.pk for each in family]

    try:
        before, family = in_transaction(queue_again)
    except IntegrityError as error:
        raise _not_unique(job) from error

    _log(before, "retried", by)
    rows = Job.objects.in_bulk(family)
    return [rows[each] for each in family if each in rows]


def discard(job_id: UUID, by: str) -> None:
    """finished → deleted, with its parts; `prune.py` deletes its files.

    Args:
        by: who asked for it, for the log.

    Raises:
        Job.DoesNotExist: no such job.
        Problem: 409 where the job has not ended, or is a part.
    """

    def delete() -> Job | None:
        job = Job.objects.select_for_update().defer(*Job.LARGE_FIELDS).get(pk=job_id)
        if not job.final:
            raise Problem(409, f"job {job_id} is {job.status}: cancel it before you discard it")
        if job.parent_id:
            raise Problem(409, f"job {job_id} is a part: discard its divided job {job.parent_id}")
        delete_batch([job_id])
        return None if Job.objects.filter(pk=job_id).exists() else job

    deleted = None
    while deleted is None:
        deleted = in_transaction(delete)
    _log(deleted, "discarded", by)


def delete_batch(job_ids: list[UUID]) -> int:
    """Delete these locked jobs and their parts, at most `DELETE_BATCH_ROWS` rows.

    A part is deleted with its parent and not before: the parent needs its result.

    Returns:
        How many rows were deleted. If it is less than a batch, nothing is left of the jobs.
    """
    # A job may have more parts than a batch. Its own row goes with the last of them.
    parts = Job.objects.filter(parent__in=job_ids).order_by("parent", "number")
    rows = list(parts.values_list("pk", flat=True)[:DELETE_BATCH_ROWS])
    if len(rows) < DELETE_BATCH_ROWS:
        rows = [*rows, *job_ids][:DELETE_BATCH_ROWS]

    Job.objects.filter(pk__in=rows).only("pk").delete()
    return len(rows)


def _failed_family(job: Job) -> list[Job]:
    """The failed jobs above a part and the part itself, from the top down. All are locked."""
    family = [job]
    while family[0].parent_id is not None:
        above = Job.objects.defer(*Job.LARGE_FIELDS).get(pk=family[0].parent_id)
        if above.status not in RETRIABLE:
            if above.phase == Phase.PARTS and above.status == Status.RUNNING:
                break
            raise Problem(
                409,
                f"job {job.pk} is a part of the job {above.pk}, which is {above.status} and does "
                f"not wait for it any more",
            )
        family.insert(0, above)
    return family


def _queue_again(job: Job) -> None:
    """Queue a locked job again: the three cases of this file's first lines."""
    parts = Job.objects.filter(parent=job.pk)
    if not job.parts_count or parts.count() != job.parts_count:
        parts.delete()
        _write(job, phase=Phase.WHOLE, parts_count=0, **QUEUED_ANEW, **due_again(job))
        return

    unsuccessful = parts.exclude(status=Status.SUCCEEDED)
    fields = unsuccessful.only("phase", "parts_count", "limit_key")
    locked = list(fields.select_for_update().order_by("number"))
    if not locked:
        _write(job, phase=Phase.JOIN, **QUEUED_ANEW, **due_again(job))
        return

    _write(job, **WAITS_ANEW)
    whole = unsuccessful.filter(phase=Phase.WHOLE)
    for limited in (False, True):
        # The columns are the same for all parts with a limit, and for all without.
        some = [part for part in locked if (part.limit_key is not None) == limited]
        if some:
            columns = {**QUEUED_ANEW, **due_again(some[0])}
            whole.filter(limit_key__isnull=not limited).update(**columns)
    for part in locked:
        if part.phase != Phase.WHOLE:
            _queue_again(part)


def _write(job: Job, **values: Any) -> None:
    Job.objects.filter(pk=job.pk).update(**values)


def _log(job: Job, done: str, by: str) -> None:
    """Log what becomes of a job, and what it came to before: its row forgets it."""
    logger.warning(
        "job %s is %s by %s; until now it was %s, after %s of %s attempts: %s",
        job.pk,
        done,
        by,
        job.status,
        job.attempts,
        job.max_attempts,
        job.error_detail or job.error or "no error",
        extra=job.log_fields(),
    )


def _not_unique(job: Job) -> Problem:
    """The database takes one unfinished job with a unique key."""
    unfinished = unfinished_with([job.unique_key])
    other = unfinished.values_list("pk", flat=True).first()
    return Problem(
        409,
        f"job {job.pk} is unique, and the job {other or 'that was submitted meanwhile'} with the "
        f"same parameters has not ended: wait for that one",
    )
