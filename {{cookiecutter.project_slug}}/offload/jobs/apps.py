"""Imports every app's `jobs.py` at start, so that web and worker know the same job types."""

import logging
from typing import Any

import django
from celery.signals import celeryd_after_setup
from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules

from offload.jobs.declare import all_job_types

logger = logging.getLogger("offload.jobs")

# What a service's `TASKS` names.
TASK_BACKEND = "offload.jobs.task_backend.JobBackend"


class JobsConfig(AppConfig):
    name = "offload.jobs"
    label = "offload_jobs"
    verbose_name = "Jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        autodiscover_modules("jobs")
        celeryd_after_setup.connect(_leave_queues_of_jobs)

        backends = [each.get("BACKEND", "") for each in getattr(settings, "TASKS", {}).values()]
        if django.VERSION >= (6, 0) and TASK_BACKEND in backends:
            from offload.jobs.task_backend import declare_task_types

            declare_task_types()


def _leave_queues_of_jobs(instance: Any, **_: object) -> None:
    """Take the queues of jobs from a worker that Celery alone has started, before it reads them.

    It knows no job: Celery would discard their messages. `celery -A config worker` without `-Q`
    reads every queue. Celery calls this at a worker's start.

    Args:
        instance: Celery's worker.

    Raises:
        SystemExit: it has no other queue.
    """
    read = instance.app.amqp.queues
    left = sorted({job_type.limits.queue for job_type in all_job_types()} & set(read.consume_from))
    if not left:
        return

    names = ",".join(left)
    own = f"`python -m offload.jobs -Q {names}`"
    read.deselect(left)
    if not read.consume_from:
        raise SystemExit(
            f"A worker of Celery alone would discard the jobs of its queues ({names}): start {own}."
        )
    logger.warning("this worker does not read %s, which have jobs: %s does", names, own)


def is_no_plain_worker() -> None:
    """Leave this worker its queues: it knows jobs."""
    celeryd_after_setup.disconnect(_leave_queues_of_jobs)
