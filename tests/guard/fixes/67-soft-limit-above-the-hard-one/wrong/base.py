import logging

from celery import Task

logger = logging.getLogger(__name__)


class ServiceTask(Task):
    """For tasks that may not be slow."""

    abstract = True
    soft_time_limit = 30
    time_limit = 35

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        logger.error("Task %s (%s) failed: %s", self.name, task_id, exc)
        super().on_failure(exc, task_id, args, kwargs, einfo)
