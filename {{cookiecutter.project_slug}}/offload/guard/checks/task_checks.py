"""Checks of `TASKS`, the backends of Django's own tasks (Django 6.0 and newer)."""

from collections.abc import Iterator

from django.conf import settings
from django.core.checks import CheckMessage, register

from offload.guard.checks.run_checks import TAG, warning

IMMEDIATE = "django.tasks.backends.immediate.ImmediateBackend"


@register(TAG)
def check_task_backends(**_: object) -> Iterator[CheckMessage]:
    """W716: tasks that run inside the request. In development (DEBUG) they may."""
    if settings.DEBUG:
        return
    for alias, params in getattr(settings, "TASKS", {}).items():
        if params.get("BACKEND") == IMMEDIATE:
            yield warning(
                "W716",
                f"TASKS[{alias!r}] is Django's ImmediateBackend, its default: a task runs inside "
                "the request that enqueues it.",
                "offload.jobs.task_backend.JobBackend",
            )
