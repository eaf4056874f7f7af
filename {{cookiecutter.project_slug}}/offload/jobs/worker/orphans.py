"""Settles the jobs of this worker that none of its processes works on any more.

A lease is renewed for a job that a process works on, not because a process lives. Two cases make a
job an orphan: its process died, or its process could not write the job's end and went on.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from billiard.exceptions import WorkerLostError
from celery import signals

from offload.jobs import transitions
from offload.jobs.attempt_span import trace_interrupted
from offload.jobs.database import CONNECTION_ERRORS
from offload.jobs.declare import find_job_type
from offload.jobs.models import Job
from offload.jobs.services import services
from offload.jobs.worker.assignments import Activity, Assignment, is_worked_on
from offload.jobs.worker.processes import process_is_alive
from offload.jobs.worker.shutdown import Shutdown
from offload.jobs.worker.spool import Spool

logger = logging.getLogger("offload.jobs")

# A job's id and its token.
Key = tuple[UUID, int]

# Kills for a time limit that are remembered until their rows are written: more than a worker has
# processes.
MAX_REMEMBERED_KILLS = 1000


class Orphans:
    """Finds orphans and writes their ends.

    Celery's signal tells the reason of a death, where Celery knows it. It decides nothing: it may
    come late, and billiard (4.3) overlooks a process that dies before its "accepted" message was
    read.

    Args:
        shutdown: while the worker shuts down, orphans are handed back instead.
        wake: makes the supervisor look at once. Called from any thread.
        spool: what it holds is written by `write_spooled.py`.
    """

    def __init__(self, shutdown: Shutdown, wake: Callable[[], None], spool: Spool) -> None:
        self._shutdown = shutdown
        self._spool = spool
        self._wake = wake
        # What no process worked on at the last look.
        self._seen: set[Key] = set()
        # Why processes died, by their jobs, as Celery tells it.
        self._reasons: dict[UUID, str] = {}
        # Jobs whose process was killed for their time limit, or in file storage for its own.
        self._over_time: dict[Key, Activity] = {}
        signals.task_failure.connect(self._on_failure, weak=False)

    def killed_for_time_limit(self, assignment: Assignment) -> None:
        """Called by `time_limits.py` in its thread."""
        if len(self._over_time) >= MAX_REMEMBERED_KILLS:
            self._over_time.pop(next(iter(self._over_time)))
        key = assignment.job_id, assignment.token
        self._over_time[key] = assignment.activity
        if assignment.activity == Activity.STORAGE:
            # Whoever wrote that end would wait for file storage in the process's place.
            self._spool.discard(*key)
        self._wake()

    def settle(self, held: Iterable[Job], working: Iterable[Assignment]) -> None:
        """Write the ends of orphans.

        Args:
            held: the rows that this worker holds, read before `working`.
            working: what its processes did afterwards.
        """
        orphans = {(job.pk, job.token): job for job in held if not is_worked_on(job, working)}
        for key, job in orphans.items():
            try:
                self._settle(key, job)
            except CONNECTION_ERRORS:
                raise
            except Exception:
                logger.exception(
                    "job %s: nobody works on it and it cannot be settled, but others can: this is "
                    "a bug",
                    job.pk,
                    extra=job.log_fields(),
                )

        self._seen = set(orphans)
        for job_id in set(self._reasons) - {job.pk for job in held}:
            del self._reasons[job_id]

    def _settle(self, key: Key, job: Job) -> None:
        """Decide what becomes of one orphan.

        Six cases:
        1. Its end is in the spool: that is written, unless somebody has cancelled the job.
        2. The process was killed for the job's time limit: the job fails.
        3. The worker shuts down: the job is handed back, later.
        4. The process was killed because file storage hung: the job is reclaimed.
        5. Celery has told why the process died: the job is reclaimed with that reason.
        6. It is an orphan at a second look: Celery had its time to tell the reason.
        """
        if self._spool.holds(*key) and not job.cancel_requested_at:
            return
        killed = self._over_time.get(key)
        if killed == Activity.COMPUTING:
            limit = find_job_type(job.kind).limits.time_limit
            failed = transitions.fail(job, f"time limit: killed after {limit:g} s")
            if failed is not None:
                trace_interrupted(job, failed, "time_limit")
            self._tell(failed)
        elif self._shutdown.requested:
            return
        elif killed == Activity.STORAGE:
            self._tell(transitions.reclaim(job, "worker lost: file storage did not answer in time"))
        elif job.pk in self._reasons and not process_is_alive(job.pid):
            self._tell(transitions.reclaim(job, f"worker lost: {self._reasons[job.pk]}"))
        elif key in self._seen:
            self._tell(transitions.reclaim(job, f"worker lost: {_why(job)}"))

    def _on_failure(self, args: Any, exception: BaseException, **_: Any) -> None:
        """Called by Celery after a process's death."""
        if isinstance(exception, WorkerLostError) and args:
            self._reasons[UUID(args[0])] = _in_words(exception)
            self._wake()

    def _tell(self, job: Job | None) -> None:
        if job is not None:
            logger.warning("job %s: %s", job.pk, job.error or job.status, extra=job.log_fields())
            services.events.publish(job)


def _why(job: Job) -> str:
    if process_is_alive(job.pid):
        return "its end could not be written; the worker's log has the reason under the job's id"
    return "its process is gone"


def _in_words(error: WorkerLostError) -> str:
    """Why a process ended: the signal or exit code in Celery's text.

    Such a text is `Worker exited prematurely: signal 9 (SIGKILL) Job: 3.`
    """
    code = str(error).partition("prematurely: ")[2].partition(" Job:")[0]
    return f"its process ended by itself: {code}"
