"""Workers and schedules in the admin: who works, and what comes when."""

from datetime import UTC, datetime

from django.contrib import admin
from django.http import HttpRequest

from offload.jobs.admin.read_only import ReadOnly
from offload.jobs.declare import find_recurrence
from offload.jobs.models import Schedule, Worker


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
        return str(find_recurrence(schedule.name) or "no longer declared")

    @admin.display(description="next")
    def next_at(self, schedule: Schedule) -> datetime | None:
        recurrence = find_recurrence(schedule.name)
        if recurrence is None or schedule.paused:
            return None
        return recurrence.next_after(datetime.now(UTC))
