"""The worker's soft shutdown: wait for the jobs that end within the grace, hand back the others."""

import logging
import signal
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.worker.heartbeat import Heartbeat

log = logging.getLogger("offload.jobs")

# Seconds that the end of a worker waits for the last statements of its supervisor and its relay.
LAST_STATEMENTS_SECONDS = 3.0


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
            self.wait_for_jobs()
            celery_stops(signum, frame)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    def wait_for_jobs(self) -> None:
        """Wait until the worker is idle, `conf().worker_grace` seconds at most. A second call, and
        so a second signal, does not wait.
        """
        if not self.requested:
            self.requested = True
            self._wake()
            self._idle.wait(conf().worker_grace)

    def worker_is_idle(self) -> None:
        """The worker's processes work on no job: a requested shutdown need not wait longer."""
        if self.requested:
            self._idle.set()


def hand_back_jobs(worker_id: UUID, heartbeat: Heartbeat, patience: float) -> None:
    """Hand back what a worker that ends still holds, and delete the worker's row.

    Its processes must be dead: one that lived would compute beside the next worker.

    Args:
        patience: seconds to wait for another thread's statement.
    """
    if not FORK_LOCK.acquire(timeout=patience):
        log.warning("the database is slow; jobs of this worker start again after their leases")
        return

    try:
        for job in Job.objects.filter(worker=worker_id, status=Status.RUNNING):
            if handed := transitions.hand_back(job):
                log.warning("job %s: %s at shutdown", job.pk, handed.status, extra=job.log_fields())
                services.events.publish(handed)
        heartbeat.end()
    except DATABASE_ERRORS as error:
        log.warning(
            "the database does not answer; jobs of this worker start again after their leases: %s",
            error,
        )
        close_connections()
    finally:
        FORK_LOCK.release()
