"""Workers, schedules and pauses in the admin: who works, what comes when, what is not to begin."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from offload.celery_app import celery_app
from offload.jobs.admin.read_only import ReadOnly
from offload.jobs.control import log_pause, log_resume
from offload.jobs.declare import all_job_types, find_recurrence
from offload.jobs.models import Pause, Schedule, Worker


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


def _queues() -> list[tuple[str, str]]:
    return [("", "---"), *((name, name) for name in celery_app().amqp.queues)]


def _kinds() -> list[tuple[str, str]]:
    return [("", "---"), *((name, name) for name in sorted(each.name for each in all_job_types()))]


class PauseForm(forms.ModelForm):
    """What can be paused. The model's constraint says that it is one thing."""

    queue = forms.ChoiceField(required=False, choices=_queues)
    kind = forms.ChoiceField(required=False, choices=_kinds, label="Job type")

    class Meta:
        model = Pause
        fields = ("queue", "kind", "reason")


@admin.register(Pause)
class PauseAdmin(admin.ModelAdmin):
    """Add a row to pause a queue or a job type, delete it to resume."""

    form = PauseForm
    list_display = ("__str__", "reason", "paused_by", "paused_at")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        """Pause, and log it."""
        obj.paused_by = str(request.user)
        super().save_model(request, obj, form, change)
        log_pause(obj)

    def delete_model(self, request: HttpRequest, obj: Pause) -> None:
        """Resume, and log it."""
        super().delete_model(request, obj)
        log_resume(obj, str(request.user))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        """Resume several, and log each."""
        for paused in queryset:
            self.delete_model(request, paused)
