"""What the admin's list of jobs shows, in what order, and how it is searched.

Each query reads a bounded piece of a small index, beside a million finished jobs, too. Django's own
filters would read every row to find the names of all job types, its paginator would count every
row, and its address takes any column: a user could ask for parameters that he may not see.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin import helpers
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from offload.celery_app import celery_app
from offload.jobs.declare import all_job_types
from offload.jobs.models import FINAL, Job, Status
from offload.jobs.row_states import from_now
from offload.jobs.services import services

# The list ends after so many jobs.
MAX_LISTED_JOBS = 10_000
# Fewer digits of an id are looked for among the owners: they would fit thousands of jobs.
MIN_ID_DIGITS = 4
# Digits of a UUID.
ID_DIGITS = 32
# The choice of all jobs that have ended.
FINISHED = "finished"


class BoundedPaginator(Paginator):
    """Counts no more than `MAX_LISTED_JOBS` rows."""

    @cached_property
    def count(self) -> int:
        """The number of rows, at most `MAX_LISTED_JOBS`."""
        rows: Any = self.object_list
        # In their order, which has an index. In any order PostgreSQL may read the whole table.
        number: int = rows[:MAX_LISTED_JOBS].count()
        return number


class StatusFilter(admin.SimpleListFilter):
    """The state. Without a choice the list has what has not ended."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        finished = (FINISHED, "Finished")
        states = [(status.value, status.label) for status in Status]
        return [*states[:2], finished, *states[2:]]

    def choices(self, changelist: Any) -> Iterator[Any]:
        first, *others = super().choices(changelist)
        yield {**first, "display": "Unfinished"}
        yield from others

    def queryset(self, request: HttpRequest, rows: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if value in (FINISHED, Status.SUCCEEDED):
            ended = _newest_finished(rows)
            return ended if value == FINISHED else ended.filter(status=value)
        if value in FINAL:
            return rows.filter(status=value)
        if value is None and _names_jobs(request):
            return rows

        # It names the index `offload_job_oldest`.
        unfinished = rows.filter(finished_at__isnull=True)
        return unfinished.filter(status=value) if value in Status else unfinished


class ExactFilter(admin.SimpleListFilter):
    """A column that equals a value: one of the list's, or one that a link has."""

    parameter_name: str

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        asked = request.GET.getlist(self.parameter_name)
        return [(name, name) for name in sorted({*self.names(), *asked})]

    def names(self) -> Iterable[str]:
        """The values to choose from."""
        return ()

    def queryset(self, request: HttpRequest, rows: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if value is None:
            return rows
        # PostgreSQL takes no NUL.
        return rows.none() if "\0" in value else rows.filter(**{self.parameter_name: value})


class KindFilter(ExactFilter):
    """The job type: of those that this process declares, and those that wait."""

    title = "job type"
    parameter_name = "kind"

    def names(self) -> Iterable[str]:
        waiting = (each.kind for each in services.stats.backlogs)
        return {*waiting, *(each.name for each in all_job_types())}


class QueueFilter(ExactFilter):
    """The queue."""

    title = "queue"
    parameter_name = "queue"

    def names(self) -> Iterable[str]:
        return {*services.stats.queues, *celery_app().amqp.queues}


class ErrorFilter(ExactFilter):
    """The sentence why jobs have failed. The page of failures links to it."""

    title = "error"
    parameter_name = "error"


class AgeFilter(admin.SimpleListFilter):
    """Jobs that were submitted so many seconds ago, or earlier."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("60", "Over a minute"), ("3600", "Over an hour"), ("86400", "Over a day")]

    def queryset(self, request: HttpRequest, rows: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if value is None or value not in dict(self.lookup_choices):
            return rows
        return rows.filter(created_at__lt=from_now(-float(value)))


LIST_FILTERS = (StatusFilter, KindFilter, QueueFilter, AgeFilter, ErrorFilter)


def listed_order(request: HttpRequest) -> tuple[str]:
    """Of unfinished jobs the oldest first, of others the newest."""
    status = request.GET.get(StatusFilter.parameter_name)
    if status in (FINISHED, Status.SUCCEEDED):
        return ("-finished_at",)
    return ("-created_at",) if status in FINAL or _names_jobs(request) else ("created_at",)


def matching(rows: QuerySet[Job], term: str) -> QuerySet[Job]:
    """The jobs with an id that begins so, or else those of an owner of this name, without parts."""
    digits = term.strip().replace("-", "").lower()
    if MIN_ID_DIGITS <= len(digits) <= ID_DIGITS and set(digits) <= set("0123456789abcdef"):
        first, last = (UUID(digits.ljust(ID_DIGITS, fill)) for fill in "0f")
        found = rows.filter(pk__range=(first, last))
        if found.exists():
            return found
    # The number names the index `offload_job_listed`.
    return rows.filter(owner=term.strip(), number=0)


def _newest_finished(rows: QuerySet[Job]) -> QuerySet[Job]:
    """The newest `MAX_LISTED_JOBS` that have ended, and others of the last one's moment."""
    ended = Job.objects.filter(finished_at__isnull=False).order_by("-finished_at")
    times = ended.values_list("finished_at", flat=True)
    oldest = times[MAX_LISTED_JOBS - 1 : MAX_LISTED_JOBS].first()
    rows = rows.filter(finished_at__isnull=False)
    return rows if oldest is None else rows.filter(finished_at__gte=oldest)


def _names_jobs(request: HttpRequest) -> bool:
    """Whether somebody searches, or does something with jobs that he has chosen one by one."""
    if request.method == "POST" and request.POST.get("select_across", "0") == "0":
        return helpers.ACTION_CHECKBOX_NAME in request.POST
    return bool(request.GET.get("q"))
