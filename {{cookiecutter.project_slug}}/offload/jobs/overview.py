"""What a page for a caller shows: his newest jobs with their parts, queues and workers.

One look reads a bounded piece, whatever there is. The page for staff has its own (`operations.py`).
"""

from dataclasses import dataclass, field

from django.db.models import Count

from offload.jobs.database import DATABASE_ERRORS, close_connections
from offload.jobs.job_view import JobSummary, summary_of
from offload.jobs.listing import listed
from offload.jobs.models import Job
from offload.jobs.row_states import running_workers
from offload.jobs.services import services


@dataclass
class PartOverview:
    """One part of a divided job; its progress is from 0 to 1."""

    status: str
    progress: float


@dataclass
class WorkerOverview:
    """A running worker.

    Args:
        slots: its processes.
        busy: those of them that work on a job.
    """

    queues: list[str]
    slots: int
    busy: int


class JobOverview(JobSummary):
    """A job with its first parts."""

    version: int
    """It grows with each change. What a reader has of an older version is older."""
    parts: list[PartOverview]


@dataclass
class Overview:
    """One look.

    Args:
        waiting: due jobs by queue, as the leader of the maintenance last counted them.
        broker: whether this process reaches the broker.
        jobs: the newest first; None where the database does not answer.
        workers: None where the database does not answer.
    """

    waiting: dict[str, int] = field(default_factory=dict)
    broker: bool = True
    jobs: list[JobOverview] | None = None
    workers: list[WorkerOverview] | None = None


def read_overview(owner: str, max_jobs: int, max_parts: int) -> Overview:
    """Look once, by four queries. Called from a thread.

    Args:
        owner: whose jobs.
        max_jobs: so many jobs are shown.
        max_parts: so many parts of each of them.
    """
    stats = services.stats
    found = Overview({name: queue.rows for name, queue in stats.queues.items()}, stats.broker)
    try:
        found.jobs, found.workers = _jobs(owner, max_jobs, max_parts), _workers()
    except DATABASE_ERRORS:
        # The next look needs another connection.
        close_connections()
    return found


def _jobs(owner: str, max_jobs: int, max_parts: int) -> list[JobOverview]:
    jobs = list(listed(owner)[:max_jobs])
    parts = Job.objects.filter(parent__in=jobs, number__lte=max_parts).order_by("number")
    shown: dict[object, list[PartOverview]] = {job.pk: [] for job in jobs}
    for parent, status, progress in parts.values_list("parent_id", "status", "progress"):
        shown[parent].append(PartOverview(status, progress))
    return [
        JobOverview(**vars(summary_of(job)), version=job.version, parts=shown[job.pk])
        for job in jobs
    ]


def _workers() -> list[WorkerOverview]:
    held = Job.objects.filter(worker__isnull=False).values_list("worker").annotate(Count("pk"))
    busy = dict(held.order_by())
    return [
        WorkerOverview(worker.queues, worker.slots, busy.get(worker.pk, 0))
        for worker in running_workers()
    ]
