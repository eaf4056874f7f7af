"""Imports every app's `jobs.py` at start, so that web and worker know the same job types."""

import django
from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from offload.jobs.plain_worker import watch_plain_workers

# What a service's `TASKS` names.
TASK_BACKEND = "offload.jobs.task_backend.JobBackend"


class JobsConfig(AppConfig):
    name = "offload.jobs"
    label = "offload_jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        autodiscover_modules("jobs")
        watch_plain_workers()

        backends = [each.get("BACKEND", "") for each in getattr(settings, "TASKS", {}).values()]
        if django.VERSION >= (6, 0) and TASK_BACKEND in backends:
            from offload.jobs.task_backend import declare_task_types

            declare_task_types()
