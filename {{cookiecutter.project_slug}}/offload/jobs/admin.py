"""Jobs in the admin: look at them, retry, cancel and discard them, and pause what is not to begin.

The pages never write a job's row themselves: `control.py` does. Who may change jobs may retry and
cancel them; who may delete jobs may discard them.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from offload.jobs.control import (
    Action,
    FailureGroup,
    Outcome,
    cancel_job,
    discard_job,
    failed_jobs,
    for_each,
    group_failures,
    retry_job,
)
from offload.jobs.declare import all_job_types, find_job_type
from offload.jobs.errors import UnknownJobType
from offload.jobs.models import Job, Pause, Schedule, Status, Worker
from offload.jobs.pauses import log_pause, log_resume
from offload.jobs.recurrence import Recurrence

# Jobs that one action takes. Django refuses a form with more than 1,000 fields
# (DATA_UPLOAD_MAX_NUMBER_FIELDS), and the confirmation has one for each job.
MAX_ACTION_JOBS = 500
# Reasons that a message lists for jobs with which nothing was done.
MAX_LISTED_REFUSALS = 5


class ReadOnly(admin.ModelAdmin):
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
    actions = ("retry_selected", "cancel_selected", "discard_selected")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Asked before jobs are retried or cancelled."""
        return request.user.has_perm("offload_jobs.change_job")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Asked before jobs are discarded."""
        return request.user.has_perm("offload_jobs.delete_job")

    @admin.action(description="Retry selected jobs", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        """Queue failed and cancelled jobs again."""
        return self._confirmed(request, jobs, "retry", retry_job)

    @admin.action(description="Cancel selected jobs", permissions=["retry"])
    def cancel_selected(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        """Ask jobs to stop."""
        return self._confirmed(request, jobs, "cancel", cancel_job)

    @admin.action(description="Discard selected jobs", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, jobs: QuerySet[Job]) -> HttpResponse | None:
        """Delete finished jobs before their lifetime has ended."""
        return self._confirmed(request, jobs, "discard", discard_job)

    def get_urls(self) -> list[URLPattern]:
        """The page of failures, too."""
        failures = self.admin_site.admin_view(self.failures_view)
        return [path("failures/", failures, name="offload_jobs_failures"), *super().get_urls()]

    def failures_view(self, request: HttpRequest) -> HttpResponse:
        """What failed and why; each group links to its jobs."""
        if not self.has_view_permission(request):
            raise PermissionDenied

        groups = [(group, _query_of(group)) for group in group_failures(failed_jobs())]
        context = {
            **self.admin_site.each_context(request),
            "title": "Failed jobs",
            "opts": self.opts,
            "groups": groups,
        }
        return TemplateResponse(request, "admin/offload_jobs/failures.html", context)

    def _confirmed(
        self, request: HttpRequest, jobs: QuerySet[Job], verb: str, action: Action
    ) -> HttpResponse | None:
        """Ask, and do it with the jobs once the answer is yes."""
        taken = list(jobs.defer(*Job.LARGE_FIELDS)[:MAX_ACTION_JOBS])
        if "confirmed" in request.POST:
            outcome = for_each(action, [job.pk for job in taken], f"{request.user} (admin)")
            self._report(request, taken, verb, outcome)
            return None

        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {len(taken)} jobs?",
            "opts": self.opts,
            "verb": verb,
            "action": f"{verb}_selected",
            "jobs": taken,
            "left": jobs.count() - len(taken),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/offload_jobs/confirm_action.html", context)

    def _report(self, request: HttpRequest, taken: list[Job], verb: str, outcome: Outcome) -> None:
        """Tell the user, and write the admin's log."""
        done = set(outcome.done)
        LogEntry.objects.log_actions(
            str(request.user.pk),
            [job for job in taken if job.pk in done],
            DELETION if verb == "discard" else CHANGE,
            f"{verb} by hand",
        )
        self.message_user(request, f"{verb}: {len(done)} jobs.", messages.SUCCESS)
        if outcome.refused:
            listed = list(outcome.refused.values())[:MAX_LISTED_REFUSALS]
            text = f"{verb}: not done with {len(outcome.refused)} jobs: {'; '.join(listed)}"
            self.message_user(request, text, messages.WARNING)


def _query_of(group: FailureGroup) -> str:
    """The query of a list of the jobs of one group."""
    asked = {"status": Status.FAILED, "kind": group.kind, "error": group.error}
    return urlencode({f"{name}__exact": value for name, value in asked.items()})


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


def _queues() -> list[tuple[str, str]]:
    return [("", "---"), *((name, name) for name in current_app.amqp.queues)]


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
