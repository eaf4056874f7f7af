"""What a worker renews while it lives: its own row, and the leases of its jobs."""

import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.declare import all_job_types
from offload.jobs.models import Job, Worker
from offload.jobs.worker.assignments import Assignment, is_worked_on


class Heartbeat:
    """The row of one worker: that it is alive, and how busy it is.

    It is renewed three times in `conf().worker_silence` seconds.
    """

    def __init__(self, worker_id: UUID) -> None:
        self._worker_id = worker_id
        self._written_at = 0.0
        # What the row says.
        self._stopping = False

    def beat(self, worker: Any, busy: int, stopping: bool) -> None:
        """Write the row, if that is due.

        Args:
            worker: Celery's.
            busy: how many of its processes work on a job.
            stopping: whether it was told to stop. It reads no queue from then on, for as long as it
                waits for its jobs: ten minutes on Kubernetes.
        """
        now = time.monotonic()
        recent = now - self._written_at <= conf().worker_silence / 3
        if recent and stopping == self._stopping:
            return

        values = {
            "name": worker.hostname,
            "queues": [] if stopping else sorted(worker.app.amqp.queues.consume_from),
            "slots": worker.concurrency,
            "busy": busy,
            "kinds": sorted(job_type.name for job_type in all_job_types()),
            "seen_at": Now(),
        }
        if not Worker.objects.filter(pk=self._worker_id).update(**values):
            Worker.objects.create(pk=self._worker_id, **values)
        self._written_at, self._stopping = now, stopping

    def end(self) -> None:
        """Delete the row: the worker ends."""
        Worker.objects.filter(pk=self._worker_id).delete()


class Leases:
    """The leases of one worker. They are renewed three times in the time that a lease lasts."""

    def __init__(self, worker_id: UUID) -> None:
        self._worker_id = worker_id
        self._renewed_at = 0.0

    def renew(self, held: Iterable[Job], working: Iterable[Assignment]) -> None:
        """Renew the leases of jobs that a living process works on, if that is due.

        Where another transaction had locked one of the rows, it is due again at the next look: the
        lease may have ended meanwhile.
        """
        now = time.monotonic()
        if now - self._renewed_at > conf().lease / 3:
            worked_on = [job.pk for job in held if is_worked_on(job, working)]
            if not worked_on or transitions.renew(self._worker_id, worked_on) == len(worked_on):
                self._renewed_at = now
