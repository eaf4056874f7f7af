"""The queries of an owner's list. Each reads a bounded piece of the index of listed jobs."""

from uuid import UUID

from django.db.models import Count, Q, QuerySet, Subquery

from offload.jobs.models import Job, Status

# The newest jobs of an owner that a list counts by status. To count 200,000 took 0.5 s a page.
COUNTED_NEWEST_JOBS = 1000


def listed(owner: str) -> QuerySet[Job]:
    """An owner's jobs without parts, newest first, without parameters and results."""
    # A part has a number. SQLite would look for `parent=None` in the index of all parents.
    rows = Job.objects.filter(owner=owner, number=0).defer(*Job.LARGE_FIELDS)
    return rows.order_by("-created_at", "-pk")


def page_of(owner: str, status: Status | None, cursor: UUID | None) -> QuerySet[Job]:
    """The jobs of a page and all older ones: those after `cursor`, the last job of the page before.

    The database compares its own times: SQLite's have three digits where Python's have six.
    """
    rows = listed(owner)
    if status is not None:
        rows = rows.filter(status=status)
    if status in (Status.QUEUED, Status.RUNNING):
        # Implied. It names the index `offload_job_unfinished`.
        rows = rows.filter(finished_at__isnull=True)
    if cursor is not None:
        place = Job.objects.filter(owner=owner, pk=cursor).order_by()
        then = Subquery(place.values("created_at"))
        # The first condition says nothing new. With it the index finds the place of the page.
        rows = rows.filter(created_at__lte=then)
        rows = rows.filter(Q(created_at__lt=then) | Q(pk__lt=cursor))
    return rows


async def expired_cursor(owner: str, cursor: UUID) -> bool:
    """Whether the last job of the page before has been deleted meanwhile: its place is unknown."""
    return not await Job.objects.filter(owner=owner, pk=cursor).aexists()


async def count_by_status(owner: str) -> dict[str, int]:
    """The newest `COUNTED_NEWEST_JOBS` jobs by status; every status is there."""
    newest = listed(owner)[:COUNTED_NEWEST_JOBS]
    counts: dict[str, int] = await newest.aaggregate(
        **{status.value: Count("pk", filter=Q(status=status)) for status in Status}
    )
    return counts
