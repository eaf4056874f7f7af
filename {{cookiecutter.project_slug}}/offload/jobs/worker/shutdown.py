"""The worker's soft shutdown: wait for the jobs that end within the grace, hand back the others."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import DATABASE_ERRORS, FORK_LOCK, close_connections
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.worker.assignments import Activity, Assignment, Assignments
from offload.jobs.worker.heartbeat import Heartbeat
from offload.jobs.worker.processes import kill_children, signal_if
from offload.jobs.worker.spool import Spool, SpooledEnd
from offload.jobs.worker.threads import starts
from offload.jobs.worker.write_spooled import WriteSpooled
from offload.postgresql.conflicts import why_refused

logger = logging.getLogger("offload.jobs")

# Seconds that the end of a worker waits for the last statements of its supervisor and its relay.
LAST_STATEMENTS_SECONDS = 3.0
# Seconds that it waits before for processes that write an end: until they have it in the spool.
SPOOL_WAIT_SECONDS = 2.0
# Seconds after these waits until a worker that has not ended is ended. On a busy machine, without a
# broker, it took 6 to 8 s.
END_TIMEOUT_SECONDS = 20.0


class Shutdown:
    """Learns of a shutdown before Celery does.

    From the first signal on, the job of a dead process is handed back; no attempt is lost. Celery's
    own soft shutdown sleeps its whole time even if the jobs end early, and its Ctrl-C waits for
    every running job. This class replaces both. Celery's end may also hang, for example at a broker
    that is away: the worker ends `END_TIMEOUT_SECONDS` later all the same.

    Args:
        assignments: what the worker's processes do.
        spool: where they put what the database does not take.
        wake: makes the supervisor look at once.
    """

    def __init__(self, assignments: Assignments, spool: Spool, wake: Callable[[], None]) -> None:
        self.requested = False
        # What the processes worked on after the wait, when they were killed.
        self.unfinished: list[Assignment] = []
        self._assignments = assignments
        self._spool = spool
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
        """Wait until the worker is idle, `conf().worker_grace` seconds at most.

        Then wait until no end of a job is in a process's memory alone, and kill the processes that
        still work. A second call, and so a second signal, does not wait.
        """
        if not self.requested:
            self.requested = True
            self._end_in_time()
            self._wake()
            self._idle.wait(conf().worker_grace)
            self.unfinished = self._wait_for_ends()
            for each in self.unfinished:
                # Celery would end this process alone, and leave what it has started.
                signal_if(lambda: True, each.pid, signal.SIGKILL)

    def worker_is_idle(self) -> None:
        """The worker's processes work on no job: a requested shutdown need not wait longer."""
        if self.requested:
            self._idle.set()

    def spool_hand_backs(self) -> None:
        """Put into the spool that the unfinished jobs are handed back. Their processes are dead.

        The next worker on this host writes it. If none comes within a lease after the return of the
        database, each of these jobs costs an attempt.
        """
        for each in self.unfinished:
            if each.token and not self._spool.holds(each.job_id, each.token):
                end = SpooledEnd(str(each.job_id), each.token, "hand_back")
                if file := self._spool.keep(end):
                    file.release()

    def _end_in_time(self) -> None:
        """Start the clock of the shutdown."""
        seconds = conf().worker_grace + SPOOL_WAIT_SECONDS + END_TIMEOUT_SECONDS
        deadline = threading.Timer(seconds, self._end_now)
        deadline.daemon = True
        starts(deadline, otherwise="nothing ends the worker if its shutdown hangs")

    def _end_now(self) -> None:
        """End this process, whatever its main thread does."""
        try:
            logger.error(
                "the worker has not ended %g s after it was told to: its processes are killed and "
                "it ends now. The next worker on this host hands its jobs back",
                conf().worker_grace + SPOOL_WAIT_SECONDS + END_TIMEOUT_SECONDS,
            )
            kill_children()
            self.spool_hand_backs()
        finally:
            os._exit(1)

    def _wait_for_ends(self) -> list[Assignment]:
        """Wait for the spool, 2 s at most. Returns what the processes still work on."""
        deadline = time.monotonic() + SPOOL_WAIT_SECONDS
        while True:
            working = self._assignments.working()
            unkept = any(
                each.activity in (Activity.WRITING, Activity.STORAGE)
                and not self._spool.holds(each.job_id, each.token)
                for each in working
            )
            if not unkept or time.monotonic() > deadline:
                return working
            time.sleep(0.05)


def hand_back_jobs(
    worker_id: UUID, heartbeat: Heartbeat, spooled: WriteSpooled, lock_timeout: float
) -> bool:
    """Hand back what a worker that ends still holds, and delete the worker's row.

    Its processes must be dead: one that lived would compute beside the next worker.

    Args:
        spooled: writes what the processes left in the spool.
        lock_timeout: seconds to wait for another thread's statement.

    Returns:
        Whether the database has taken all of it.
    """
    if not FORK_LOCK.acquire(timeout=lock_timeout):
        logger.warning("the database is slow; the jobs of this worker are handed back later")
        return False
    # It only told whether the lock is free: file storage is waited for without it.
    FORK_LOCK.release()

    try:
        spooled.write_all(storage_seconds=LAST_STATEMENTS_SECONDS)
        with FORK_LOCK:
            _hand_back_all(worker_id)
            heartbeat.end()
    except DATABASE_ERRORS as error:
        logger.warning(
            "%s; the jobs of this worker are handed back later: %s", why_refused(error), error
        )
        close_connections()
        return False
    return True


def _hand_back_all(worker_id: UUID) -> None:
    for job in Job.objects.filter(worker=worker_id, status=Status.RUNNING):
        if handed := transitions.hand_back(job):
            logger.warning("job %s: %s at shutdown", job.pk, handed.status, extra=job.log_fields())
            services.events.publish(handed)
