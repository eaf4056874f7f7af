"""Kills the processes of jobs that were asked to stop and do not report."""

import logging
import os
import signal
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from offload.conf import conf
from offload.jobs.database import from_now
from offload.jobs.models import Job, Status
from offload.jobs.worker.heartbeat import active_requests

log = logging.getLogger("offload.jobs")


def kill_cancelled(worker: Any, worker_id: UUID, held: Iterable[Job]) -> None:
    """Kill what was asked to stop more than `conf().cancel_grace` seconds ago.

    `worker` is Celery's. Celery then tells `dead_processes.py`, which writes the end.
    """
    if not any(job.cancel_requested_at for job in held):
        return

    overdue = Job.objects.filter(
        worker=worker_id,
        status=Status.RUNNING,
        cancel_requested_at__lt=from_now(-conf().cancel_grace),
    )
    for job in overdue:
        log.warning(
            "job %s: it was cancelled and does not report, its process %s is killed",
            job.pk,
            job.pid,
            extra=job.log_fields(),
        )
        _kill(worker, job)


def _kill(worker: Any, job: Job) -> None:
    for request in active_requests():
        if request.args[0] == str(job.pk) and request.worker_pid == job.pid:
            # In the worker's own loop, because it talks to Flower over the worker's connection,
            # which this thread must not use.
            worker.consumer.call_soon(request.terminate, worker.pool, signal.SIGKILL)
            return

    os.kill(job.pid or 0, signal.SIGKILL)
