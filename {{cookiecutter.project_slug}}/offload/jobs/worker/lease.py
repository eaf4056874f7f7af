"""Renews the leases of the jobs that this worker's processes work on."""

import time
from collections.abc import Iterable
from uuid import UUID

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.models import Job
from offload.jobs.worker.assignments import Assignment, is_worked_on


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
