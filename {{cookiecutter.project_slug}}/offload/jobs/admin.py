"""Jobs in the admin, to look at: only the state machine writes them. Schedules, to pause them."""

from datetime import UTC, datetime

from django.contrib import admin
from django.http import HttpRequest

from offload.jobs.declare import find_job_type
from offload.jobs.errors import UnknownJobType
from offload.jobs.models import Job, Schedule, Worker
from offload.jobs.recurrence import Recurrence


# ModelAdmin is generic for type checkers only.
class ReadOnly(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = ("id", "kind", "status", "owner", "attempts", "created_at", "finished_at")
    list_filter = ("status", "kind", "queue")
    search_fields = ("id", "owner")


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "queues", "slots", "busy", "seen_at")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnly):
    list_display = ("name", "when", "last_at", "next_at", "paused")
    list_editable = ("paused",)
    readonly_fields = ("name", "when", "last_at", "next_at")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return super(ReadOnly, self).has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Schedule, form: object, change: bool) -> None:
        # The leader may have written `last_at` since the page was read.
        obj.save(update_fields=["paused"])

    @admin.display(description="when")
    def when(self, schedule: Schedule) -> str:
        return str(_recurrence(schedule) or "no longer declared")

    @admin.display(description="next")
    def next_at(self, schedule: Schedule) -> datetime | None:
        recurrence = _recurrence(schedule)
        if recurrence is None or schedule.paused:
            return None
        return recurrence.next_after(datetime.now(UTC))


def _recurrence(schedule: Schedule) -> Recurrence | None:
    try:
        return find_job_type(schedule.name).limits.recurrence
    except UnknownJobType:
        return None
