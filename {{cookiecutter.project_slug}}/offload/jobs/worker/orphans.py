"""Writes the end of jobs whose process died before it could write it."""

import logging
import queue
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import signals

from offload.jobs import transitions
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.declare import find_job_type
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.worker.lease import process_is_alive
from offload.jobs.worker.shutdown import Shutdown

log = logging.getLogger("offload.jobs")

# A transition that the main process has to write for a dead process.
Transition = Callable[[Job], Job | None]


class DeadProcesses:
    """Learns of dead processes in two ways: Celery's signals, and looks at the processes.

    Celery knows the reason of a death, but overlooks a process that dies before its "accepted"
    message was read (billiard 4.3); it would wait for the time limit.

    Args:
        worker_id: this worker's id.
        shutdown: while the worker shuts down, jobs of dead processes are handed back instead.
        wake: makes the supervisor look at once.
    """

    def __init__(self, worker_id: UUID, shutdown: Shutdown, wake: Callable[[], None]) -> None:
        self._worker_id = worker_id
        self._shutdown = shutdown
        self._wake = wake
        self._pending: queue.SimpleQueue[tuple[UUID, Transition]] = queue.SimpleQueue()
        # Jobs whose process was gone at the last look, with their tokens.
        self._seen_dead: set[tuple[UUID, int]] = set()
        signals.task_failure.connect(self._on_failure, weak=False)
        signals.task_revoked.connect(self._on_killed, weak=False)

    def write_pending(self) -> None:
        """Write what Celery's signals have told."""
        while not self._pending.empty():
            job_id, transition = self._pending.get()
            try:
                job = Job.objects.filter(
                    pk=job_id, worker=self._worker_id, status=Status.RUNNING
                ).first()
                ended = transition(job) if job is not None else None
            except DATABASE_ERRORS:
                self._pending.put((job_id, transition))
                raise
            self._tell(ended)

    def reclaim(self, held: Iterable[Job]) -> None:
        """Reclaim jobs whose process was gone at two looks: at the second, Celery had its time to
        tell the reason.
        """
        dead = [job for job in held if not process_is_alive(job.pid)]
        for job in dead:
            if (job.pk, job.token) in self._seen_dead and not self._shutdown.requested:
                self._tell(transitions.reclaim(job, "worker lost: its process is gone"))
        self._seen_dead = {(job.pk, job.token) for job in dead}

    def _on_failure(self, sender: Any, args: Any, exception: BaseException, **_: Any) -> None:
        """Called by Celery after a failure that left the process no time to write."""
        if isinstance(exception, TimeLimitExceeded):
            limit = find_job_type(sender.name).limits.time_limit
            failed = f"time limit: killed after {limit:g} s"
            self._write_later(args, lambda job: transitions.fail(job, failed))
        elif isinstance(exception, WorkerLostError) and not self._shutdown.requested:
            lost = f"worker lost: {_in_words(exception)}"
            self._write_later(args, lambda job: transitions.reclaim(job, lost))

    def _on_killed(self, request: Any, **_: Any) -> None:
        """Called by Celery after the kill of `kill_cancelled.py`."""
        if request.args and not self._shutdown.requested:
            self._write_later(
                request.args, lambda job: transitions.reclaim(job, "worker lost: killed")
            )

    def _write_later(self, args: Any, transition: Transition) -> None:
        self._pending.put((UUID(args[0]), transition))
        self._wake()

    def _tell(self, job: Job | None) -> None:
        if job is not None:
            log.warning("job %s: %s", job.pk, job.error or job.status, extra=job.log_fields())
            services.events.publish(job)


def _in_words(error: WorkerLostError) -> str:
    """Celery's text has the signal or exit code: 'Worker exited prematurely: signal 9 (SIGKILL)
    Job: 3.'
    """
    code = str(error).partition("prematurely: ")[2].partition(" Job:")[0]
    return f"its process ended by itself: {code}"
