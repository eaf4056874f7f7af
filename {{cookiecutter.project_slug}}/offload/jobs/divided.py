"""The life of a divided job, from its division to its end.

    claim --> divide --> waits for its parts --> due again --> claim --> its function combines them
              (PARTS)                            (JOIN)

1. A worker claims the job and makes its parts (`parts.make_parts`).
2. `divide` inserts the parts and releases the job in one transaction. The job stays `running`, in
   the phase PARTS; no worker holds it.
3. Workers compute the parts, as any job. Their progress is the job's (`parts.update_progress`).
4. The last part that ends makes the job due again, in the phase JOIN (`_update_parent`).
5. A worker claims the job again; its function gets the results of the parts
   (`parts.part_results`).
6. A part that fails or is cancelled fails the job, and the other parts are cancelled; unless no
   more than `failed_parts_allowed` have.
7. A job that is cancelled cancels its parts, and the parts of its parts (`_cancel_parts`).

Every transition that writes more than one row of a divided job is in this file. The order of its
locks is documented at `transactions.lock_ancestors`.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import F, Q
from django.db.models.functions import Now

from offload.jobs.blocked import give_ranks
from offload.jobs.fenced_update import fenced_update, update_job
from offload.jobs.followers import insert_followers
from offload.jobs.metrics import ENDED, count, count_new
from offload.jobs.models import FINAL, Job, Phase, Status
from offload.jobs.row_states import UNHELD, due_again, end_columns, held_and_wanted
from offload.jobs.transactions import (
    INSERT_BATCH_ROWS,
    in_transaction,
    lock_ancestors,
    long_statements,
)

WAITS_FOR_PARTS = Q(status=Status.RUNNING, phase=Phase.PARTS)


def end_job(where: Q, job: Job, status: Status, **values: Any) -> Job | None:
    """End a job, divided or not, with one fenced UPDATE.

    In the same transaction its parent is updated if it is a part, and its followers are inserted.

    Returns:
        The job's new row, with its parent's new row where that has changed; None where it had moved
        on.
    """
    values = {**end_columns(status), **UNHELD, **values}
    if job.parent_id is None and not job.then and not job.on_end:
        row = update_job(where, job.pk, **values)
        if row is not None:
            count(ENDED, row, row.status)
        return row

    def end() -> Job | None:
        parent = lock_ancestors(job)
        row = _end(where, job.pk, **values)
        if row is not None and parent is not None:
            changed = _update_parent(row, parent)
            if changed is not None:
                row.parent = changed
        return row

    return in_transaction(end)


def request_cancel(job: Job) -> Job:
    """Cancel a job that no worker holds, with its parts. Ask a running job to stop.

    Its row is locked before the decision, so that no other transition comes between the two.

    Returns:
        The job's new row; its row as it is where it has ended, or was asked before.
    """

    def request() -> Job:
        parent = lock_ancestors(job)
        row = Job.objects.select_for_update().get(pk=job.pk)
        asked = {"cancel_requested_at": Now()}

        # Four cases: it has ended, nobody computes it, it was asked before, it is asked now.
        if row.final:
            return row
        if row.worker is None:
            return _cancel(row, parent)
        if row.cancel_requested_at:
            return row
        return fenced_update(Q(), job.pk, **asked) or row

    return in_transaction(request)


def divide(job: Job, parts: list[Job], failed_parts_allowed: int) -> Job | None:
    """running → waits for its parts: the parts are inserted and the worker is released.

    Args:
        failed_parts_allowed: how many parts may fail while the job goes on.

    Returns:
        The job's new row; None where the lease was lost, or somebody asked the job to stop.
    """

    def divide_row() -> Job | None:
        divided = fenced_update(
            held_and_wanted(job.token),
            job.pk,
            phase=Phase.PARTS,
            parts_count=len(parts),
            failed_parts_allowed=failed_parts_allowed,
            token=F("token") + 1,
            # A job that waits for its parts takes no place from them.
            place=None,
            **UNHELD,
        )
        if divided is not None:
            give_ranks(parts)
            with long_statements():
                Job.objects.bulk_create(parts, batch_size=INSERT_BATCH_ROWS)
            count_new(parts)
        return divided

    return in_transaction(divide_row)


def has_unfinished_parts(job_id: UUID) -> bool:
    """Whether a part of this job still waits or runs.

    The last parts are looked at first. Parts begin by their numbers, so those that are unfinished
    stand at the end of the index, and each end of a part asks.
    """
    unfinished = Job.objects.filter(parent=job_id).exclude(status__in=FINAL).order_by("-number")
    return bool(unfinished.values_list("pk", flat=True)[:1])


def settle(job_id: UUID) -> Job | None:
    """Make a divided job due, or fail it, if none of its parts is unfinished any more.

    It repairs what `_update_parent` missed; `maintenance/settle_divided.py` says when that happens.

    Returns:
        The job's new row; None where it need not be settled.
    """

    def settle_row() -> Job | None:
        above = lock_ancestors(Job.objects.only("parent").get(pk=job_id))
        job = Job.objects.select_for_update().get(pk=job_id)
        if has_unfinished_parts(job_id):
            return None

        error = fault_of_parts(job, job.parts.only("number", "status", "error"))
        if not error:
            joined = {"phase": Phase.JOIN, "progress": 1.0, **due_again(job)}
            return fenced_update(WAITS_FOR_PARTS, job_id, **joined)

        failed = _end(WAITS_FOR_PARTS, job_id, error=error, **end_columns(Status.FAILED))
        if failed is not None and above is not None:
            _update_parent(failed, above)
        return failed

    return in_transaction(settle_row)


def fault_of_parts(job: Job, parts: Iterable[Job]) -> str:
    """Why a job whose parts have all ended cannot be put together; empty if it can."""
    found = list(parts)
    if len(found) != job.parts_count:
        return f"only {len(found)} of {job.parts_count} parts are in the database"

    failed = [part for part in found if part.status != Status.SUCCEEDED]
    if len(failed) > job.failed_parts_allowed:
        return _fault_of_part(failed[0], job)
    return ""


def _fault_of_part(part: Job, parent: Job) -> str:
    """Why the end of one part fails its parent."""
    fault = f"part {part.number} {part.status}: {part.error}".rstrip(": ")
    if allowed := parent.failed_parts_allowed:
        return f"more than {allowed} of {parent.parts_count} parts failed, among them {fault}"
    return fault


def _end(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """One fenced UPDATE that ends a job, and the INSERT of what follows it.

    Parts are no followers, and have none: `_cancel_parts` needs no INSERT.
    """
    row = fenced_update(where, job_id, **values)
    if row is not None:
        insert_followers(row)
        count(ENDED, row, row.status)
    return row


def _cancel(job: Job, parent: Job | None) -> Job:
    """Cancel a locked job that no worker holds."""
    row = _end(Q(), job.pk, **end_columns(Status.CANCELLED), cancel_requested_at=Now())
    assert row is not None

    if job.phase == Phase.PARTS:
        with long_statements():
            _cancel_parts(job.pk)
    if parent is not None:
        _update_parent(row, parent)
    return row


def _cancel_parts(job_id: UUID) -> None:
    """Cancel the parts that no worker holds, and their parts; ask the others to stop.

    The job is locked and has no more new parts.
    """
    parts = Job.objects.filter(parent=job_id).exclude(status__in=FINAL)
    locked = list(parts.select_for_update().only("phase", "kind", "queue").order_by("number"))
    asked = {"version": F("version") + 1, "cancel_requested_at": Now()}

    cancelled = parts.filter(worker=None).update(**end_columns(Status.CANCELLED), **asked)
    if cancelled:
        # All parts of a job have the same type.
        count(ENDED, locked[0], Status.CANCELLED, amount=cancelled)
    parts.filter(cancel_requested_at=None).update(**asked)

    for part in locked:
        if part.phase == Phase.PARTS:
            _cancel_parts(part.pk)


def _update_parent(part: Job, parent: Job) -> Job | None:
    """Update the locked parent of a part that has just ended.

    Four cases:
    1. The parent has ended: nothing changes.
    2. More parts than allowed did not succeed: the parent fails, and its other parts are cancelled.
    3. All parts have ended: the parent is due again.
    4. Other parts still run: nothing changes.

    Returns:
        The parent's new row; None where nothing changed.
    """
    if part.status == Status.SUCCEEDED or not _too_many_failed(parent):
        if has_unfinished_parts(parent.pk):
            return None
        joined = {"phase": Phase.JOIN, "progress": 1.0, **due_again(parent)}
        return fenced_update(WAITS_FOR_PARTS, parent.pk, **joined)

    error = _fault_of_part(part, parent)
    failed = _end(WAITS_FOR_PARTS, parent.pk, error=error, **end_columns(Status.FAILED))
    if failed is not None:
        with long_statements():
            _cancel_parts(parent.pk)
        if parent.parent_id is not None:
            # `lock_ancestors` has locked this row, too.
            _update_parent(failed, Job.objects.get(pk=parent.parent_id))
    return failed


def _too_many_failed(parent: Job) -> bool:
    """Whether one part that has failed is one too many."""
    allowed = parent.failed_parts_allowed
    if not allowed:
        return True
    failed = parent.parts.filter(status__in=(Status.FAILED, Status.CANCELLED))
    return failed.count() > allowed
