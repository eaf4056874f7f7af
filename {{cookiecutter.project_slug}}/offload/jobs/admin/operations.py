"""The operations page, and its place in the admin's index."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from offload.jobs.admin.read_only import ReadOnly
from offload.jobs.models import Operations


@admin.register(Operations)
class OperationsAdmin(ReadOnly):
    """What waits, what runs, who works, and what is wrong. Who may view jobs may see it."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("offload_jobs.view_job")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        """One page, at the address where other models have their list."""
        page = self.admin_site.admin_view(self.page)
        return [path("", page, name="offload_jobs_operations_changelist")]

    def page(self, request: HttpRequest) -> HttpResponse:
        """The page. It reads the database for some seconds at most, and says what is missing."""
        if not self.has_view_permission(request):
            raise PermissionDenied

        # It needs the upstreams, and with them aiohttp. A worker imports this module, too, and
        # calls no upstream.
        from offload.jobs.operations import read_operations

        context = {
            **self.admin_site.each_context(request),
            "title": "Operations",
            "opts": self.opts,
            "sees_data": request.user.has_perm("offload_jobs.view_job_data"),
            **read_operations(),
        }
        return TemplateResponse(request, "admin/offload_jobs/operations.html", context)
