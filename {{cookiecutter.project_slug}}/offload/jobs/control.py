"""Retry, discard and cancel, for whoever asks: an owner, staff, or a command. One job, or many.

The rows are changed by `by_hand.py` (retry, discard) and `transitions.py` (cancel). Here follows
what a change has to bring about: an event for the watchers, a message for the workers, and a
`Problem` where there is no such job.

Operators pause and resume queues and job types, too. `row_states.due` leaves out the jobs of a
pause: workers claim none of them, and none of them is published. They wait in their rows. Submits
go on, up to the queue's depth.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max, QuerySet
from pydantic import BaseModel

from offload.celery_app import celery_app
from offload.jobs import by_hand, transitions
from offload.jobs.declare import all_job_types
from offload.jobs.models import Job, Pause, Status
from offload.jobs.services import services
from offload.problems import Problem

logger = logging.getLogger("offload.jobs")

# The newest failed jobs that are grouped by what failed and why.
MAX_GROUPED_JOBS = 10_000
# Groups that are shown, the largest first.
MAX_GROUPS = 100

# What is done with one job: the job's id, and who asked for it.
Action = Callable[[UUID, str], object]


class FailureGroup(BaseModel):
    """Jobs of one type that failed for one reason."""

    kind: str
    error: str
    count: int
    newest_at: datetime
    """When the last of them failed."""


@dataclass
class ActionOutcome:
    """What an action on many jobs has come to."""

    # The jobs with which it was done.
    done: list[UUID] = field(default_factory=list)
    # Why it was not done with others, by their ids.
    refused: dict[UUID, str] = field(default_factory=dict)


def retry_job(job_id: UUID, by: str, admit: Callable[[Job], None] | None = None) -> Job:
    """Queue a failed or cancelled job again; see `by_hand.py`.

    Args:
        admit: `admission.admit_retry` for owners. Staff may retry as many jobs as they want.

    Raises:
        Problem: 404, no such job; 409, it cannot be retried now; what `admit` raises.
    """
    try:
        rows = by_hand.retry(job_id, by, admit)
    except Job.DoesNotExist:
        raise no_such_job(job_id) from None

    for row in rows:
        services.events.publish(row)
    services.dispatch([row for row in rows if row.status == Status.QUEUED])
    return rows[-1]


def discard_job(job_id: UUID, by: str) -> None:
    """Delete a finished job.

    Raises:
        Problem: 404, no such job; 409, it cannot be discarded now.
    """
    try:
        by_hand.discard(job_id, by)
    except Job.DoesNotExist:
        raise no_such_job(job_id) from None


def cancel_job(job_id: UUID, by: str) -> Job:
    """Cancel a queued job, or ask a running one to stop.

    Raises:
        Problem: 404, no such job.
    """
    try:
        row = transitions.request_cancel(job_id)
    except Job.DoesNotExist:
        raise no_such_job(job_id) from None

    logger.info("%s has asked job %s to stop; it is %s", by, job_id, row.status)
    services.events.publish(row)
    if row.final:
        services.unblock_beside([row])
    return row


def for_each(action: Action, job_ids: Iterable[UUID], by: str) -> ActionOutcome:
    """Do an action with many jobs, each in a transaction of its own."""
    outcome = ActionOutcome()
    for job_id in job_ids:
        try:
            action(job_id, by)
        except Problem as problem:
            outcome.refused[job_id] = problem.detail
        else:
            outcome.done.append(job_id)
    return outcome


def failed_jobs(kind: str = "", error: str = "", owner: str = "") -> QuerySet[Job]:
    """Failed jobs that are no parts, the newest first. An empty text stands for all.

    Args:
        error: the sentence that the job's owner sees.
    """
    rows = Job.objects.filter(status=Status.FAILED, number=0).defer(*Job.LARGE_FIELDS)
    asked = {"kind": kind, "error": error, "owner": owner}
    if any("\0" in value for value in asked.values()):
        # No row has it, and PostgreSQL refuses the question.
        return rows.none()
    return rows.filter(**{name: value for name, value in asked.items() if value}).order_by(
        "-created_at", "-pk"
    )


def group_failures(rows: QuerySet[Job]) -> list[FailureGroup]:
    """What failed and why, the largest groups first.

    The newest `MAX_GROUPED_JOBS` of `rows` are read, and those of the same moment as the last one.
    """
    times = rows.values_list("created_at", flat=True)
    oldest = times[MAX_GROUPED_JOBS - 1 : MAX_GROUPED_JOBS].first()
    newest = rows if oldest is None else rows.filter(created_at__gte=oldest)
    groups = newest.values("kind", "error").order_by()
    counted = groups.annotate(count=Count("pk"), newest_at=Max("finished_at"))
    shown = counted.order_by("-count", "kind", "error")[:MAX_GROUPS]
    return [FailureGroup.model_validate(group) for group in shown]


def no_such_job(job_id: UUID) -> Problem:
    """404 for a job that somebody asks for."""
    return Problem(
        404, f"no job {job_id}: it never existed, it has expired, or it is another owner's"
    )


def pause(*, queue: str = "", kind: str = "", by: str, reason: str = "") -> Pause:
    """Begin no job of a queue, or of a job type, any more. A second pause changes nothing.

    Args:
        by: who pauses it.

    Raises:
        ValueError: they do not name one thing that can be paused.
    """
    if fault := _fault_of_target(queue, kind):
        raise ValueError(fault)

    values = {"paused_by": by, "reason": reason}
    paused, created = Pause.objects.get_or_create(queue=queue, kind=kind, defaults=values)
    if created:
        log_pause(paused)
    return paused


def resume(*, queue: str = "", kind: str = "", by: str) -> bool:
    """Begin the jobs of a paused queue or job type again. False where it was not paused."""
    with transaction.atomic():
        paused = Pause.objects.select_for_update().filter(queue=queue, kind=kind).first()
        if paused is not None:
            paused.delete()
    if paused is None:
        return False
    log_resume(paused, by)
    return True


def log_pause(paused: Pause) -> None:
    """Log the begin of a pause."""
    logger.warning(
        "%s is paused by %s, its jobs wait: %s",
        paused,
        paused.paused_by,
        paused.reason or "no reason given",
    )


def log_resume(paused: Pause, by: str) -> None:
    """Log the end of a pause."""
    logger.warning("%s is resumed by %s; it was paused at %s", paused, by, paused.paused_at)


def _fault_of_target(queue: str, kind: str) -> str | None:
    """Why these do not name one thing that can be paused; None where they do."""
    if bool(queue) == bool(kind):
        return "name a queue or a job type, and not both"

    queues = list(celery_app().amqp.queues)
    if queue and queue not in queues:
        return f"no queue {queue!r}: config/celery.py declares {', '.join(queues)}"

    kinds = sorted(job_type.name for job_type in all_job_types())
    if kind and kind not in kinds:
        return f"no job type {kind!r}: known are {', '.join(kinds)}"
    return None
