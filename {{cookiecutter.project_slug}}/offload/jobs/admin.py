"""Jobs in the admin, to look at. Only the state machine writes them."""

from django.contrib import admin
from django.http import HttpRequest

from offload.jobs.models import Job, Worker


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


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ("name", "queues", "slots", "busy", "seen_at")
