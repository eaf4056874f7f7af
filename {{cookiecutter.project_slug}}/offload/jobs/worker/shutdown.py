"""The worker's soft shutdown: wait for the jobs that end within the grace, hand back the others."""

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.models import Job, Status
from offload.jobs.services import services

log = logging.getLogger("offload.jobs")


class Shutdown:
    """Learns of a shutdown before Celery does.

    From the first signal on, the job of a dead process is handed back; no attempt is lost. Celery's
    own soft shutdown sleeps its whole time even if the jobs end early, and its Ctrl-C waits for
    every running job. This class replaces both.

    Args:
        wake: makes the supervisor look at once.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.requested = False
        self._wake = wake
        self._idle = threading.Event()

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on. Called in the main thread."""
        celery_stops: Any = signal.getsignal(signal.SIGTERM)

        def stop(signum: int, frame: Any) -> None:
            if not self.requested:
                self.requested = True
                self._wake()
                self._idle.wait(conf().worker_grace)
            celery_stops(signum, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def worker_is_idle(self) -> None:
        """The worker holds no running job: a requested shutdown need not wait longer."""
        if self.requested:
            self._idle.set()


def hand_back_jobs(worker_id: UUID) -> None:
    """Hand back what a worker that ends still holds."""
    for job in Job.objects.filter(worker=worker_id, status=Status.RUNNING):
        if handed := transitions.hand_back(job):
            log.warning("job %s: %s at shutdown", job.pk, handed.status, extra=job.log_fields())
            services.events.publish(handed)
