"""How many jobs may wait for a later time (`run_at`).

They count neither for the depth of their queue nor for the due jobs of their owner. Without bounds
of their own a caller could plan a million jobs for next year, which would all become due at once.
"""

from collections.abc import Sequence

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.problems import Problem

# The time for which a refused caller is asked to wait: nobody knows when jobs are cancelled.
PLANNED_RETRY_AFTER_SECONDS = 60


def planned_jobs(queue: str, owner: str) -> QuerySet[Job]:
    """An owner's jobs of a queue that are not due yet, without parts."""
    later = Q(due_at__gt=Now()) | Q(unblock_at__gt=Now())
    # The conditions on `number` and `finished_at` name the index `offload_job_unfinished`.
    return Job.objects.filter(
        later, owner=owner, number=0, finished_at__isnull=True, status=Status.QUEUED, queue=queue
    )


def admit_planned(jobs: Sequence[Job]) -> None:
    """Refuse new jobs with a `run_at` where too many wait for theirs.

    Args:
        jobs: unsaved rows of one queue and owner.

    Raises:
        Problem: with a `Retry-After`. 429, `conf().jobs_per_owner` jobs of the owner in this queue,
            counted now; 503, `conf().planned_depth` jobs of all owners, as the leader last counted.
    """
    queue, owner = jobs[0].queue, jobs[0].owner
    limit = conf().jobs_per_owner
    theirs = planned_jobs(queue, owner).order_by()
    if limit and would_exceed(theirs, len(jobs), limit):
        raise _refusal(
            429, f"{limit} of your jobs wait in the queue {queue!r} for a later time", "cancel some"
        )

    planned = services.stats.planned.get(queue, 0)
    if planned + len(jobs) > conf().planned_depth:
        raise _refusal(
            503, f"{planned} jobs wait in the queue {queue!r} for a later time", "submit it later"
        )


def would_exceed(rows: QuerySet[Job], new: int, bound: int) -> bool:
    """Whether there were more rows than the bound with so many new ones. Counting ends there."""
    room = bound - new
    # OFFSET of a negative number is an error.
    return room < 0 or bool(rows.values_list("pk")[room : room + 1])


def _refusal(status: int, why: str, instead: str) -> Problem:
    return Problem(
        status,
        f"{why}, which is the limit: try again in {PLANNED_RETRY_AFTER_SECONDS} s, or {instead}",
        headers={"Retry-After": str(PLANNED_RETRY_AFTER_SECONDS)},
    )
