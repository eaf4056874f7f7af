"""Jobs in the admin: look at them, retry, cancel and discard them.

The pages never write a job's row themselves: `control.py` does. Who may change jobs may retry and
cancel them; who may delete jobs may discard them. What callers handed in and jobs computed
(`Job.DATA_FIELDS`) is for those with the permission `view_job_data` alone.
"""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from offload.jobs.admin.job_filters import (
    LIST_FILTERS,
    MAX_LISTED_JOBS,
    BoundedPaginator,
    listed_order,
    matching,
)
from offload.jobs.admin.read_only import ReadOnly
from offload.jobs.by_hand import RETRIABLE
from offload.jobs.control import (
    Action,
    ActionOutcome,
    FailureGroup,
    cancel_job,
    discard_job,
    failed_jobs,
    for_each,
    group_failures,
    retry_job,
)
from offload.jobs.models import Job, Status
from offload.jobs.timeline import timeline
from offload.jobs.why_waiting import reasons_of_waiting

# Jobs that one action takes. Django refuses a form with more than 1,000 fields
# (DATA_UPLOAD_MAX_NUMBER_FIELDS), and the confirmation has one for each job.
MAX_ACTION_JOBS = 500
# Reasons that a message lists for jobs with which nothing was done.
MAX_LISTED_REFUSALS = 5


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = (
        "id",
        "kind",
        "queue",
        "status",
        "owner",
        "attempts",
        "created_at",
        "finished_at",
    )
    list_filter = LIST_FILTERS
    # Without these the list would be counted as a whole, or sorted by any column.
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    # It has a field for searching. `get_search_results` says what is found.
    search_fields = ("id", "owner")
    search_help_text = "An id, or how it begins (4 digits or more); or an owner's whole name."
    actions = ("retry_selected", "cancel_selected", "discard_selected")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Asked before jobs are retried or cancelled."""
        return request.user.has_perm("offload_jobs.change_job")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Asked before jobs are discarded."""
        return request.user.has_perm("offload_jobs.delete_job")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Without the large columns, which the page of one job reads where it shows them."""
        return super().get_queryset(request).defer(*Job.LARGE_FIELDS)

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        return listed_order(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        return (matching(queryset, search_term) if search_term else queryset), False

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """The filters alone. Django would take every column, and so tell what parameters hold."""
        return lookup in {each.parameter_name for each in LIST_FILTERS}

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """The columns that the user may see."""
        sees_data = request.user.has_perm("offload_jobs.view_job_data")
        # The timeline shows past attempts.
        hidden = {"past_attempts", *(() if sees_data else Job.DATA_FIELDS)}
        return [name for name in super().get_fields(request, obj) if name not in hidden]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The page of one job: why it does not run, its life, and what can be done with it."""
        job: Job = kwargs["obj"]
        context |= {
            "reasons": reasons_of_waiting(job),
            "timeline": timeline(job),
            "verbs": self._possible(request, job),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return super().render_change_form(request, context, *args, **kwargs)

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

    def response_action(self, request: HttpRequest, queryset: Any, *more: Any, **named: Any) -> Any:
        """Do an action. Django would answer 500 to a form in which something is no id."""
        try:
            # Django 6.1 names one argument more.
            return super().response_action(request, queryset, *more, **named)
        except ValidationError:
            self.message_user(request, "Nothing was done: that is no job's id.", messages.ERROR)
            return None

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
            return _page_of_one(request, taken)

        context = {
            **self.admin_site.each_context(request),
            "title": f"{verb.capitalize()} {len(taken)} jobs?",
            "opts": self.opts,
            "verb": verb,
            "action": f"{verb}_selected",
            "jobs": taken,
            "left": jobs.order_by()[:MAX_LISTED_JOBS].count() - len(taken),
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "one": "one" in request.POST,
        }
        return TemplateResponse(request, "admin/offload_jobs/confirm_action.html", context)

    def _possible(self, request: HttpRequest, job: Job) -> list[str]:
        """What this user can do with a job in this state."""
        possible = {
            "retry": self.has_retry_permission(request) and job.status in RETRIABLE,
            "cancel": self.has_retry_permission(request) and not job.final,
            "discard": self.has_discard_permission(request) and job.final and not job.parent_id,
        }
        return [verb for verb, is_possible in possible.items() if is_possible]

    def _report(
        self, request: HttpRequest, taken: list[Job], verb: str, outcome: ActionOutcome
    ) -> None:
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
    return urlencode({"status": Status.FAILED, "kind": group.kind, "error": group.error})


def _page_of_one(request: HttpRequest, taken: list[Job]) -> HttpResponse | None:
    """Back to the page of the job from which the action came; None where there is none."""
    if "one" in request.POST and taken and Job.objects.filter(pk=taken[0].pk).exists():
        address = reverse("admin:offload_jobs_job_change", args=[taken[0].pk])
        return HttpResponseRedirect(address)
    return None
