"""Kills processes that work in vain: cancelled, fenced out, or unable to write their end.

Each is killed only if it still does exactly that (`Assignments.signal`).
"""

import logging
import signal
import time
from collections.abc import Iterable
from uuid import UUID

from offload.conf import conf
from offload.jobs.models import Job, Status
from offload.jobs.row_states import from_now
from offload.jobs.worker.assignments import Activity, Assignment, Assignments
from offload.jobs.worker.spool import Spool

logger = logging.getLogger("offload.jobs")

# Seconds that a process may write an end which is in the spool, while the database answers its
# main process. Its own tries are 5 s apart at most, and a statement takes 9 s.
STUCK_SECONDS = 60.0


class Kills:
    """The kills of one worker. `orphans.py` then decides what becomes of their jobs."""

    def __init__(self, assignments: Assignments, worker_id: UUID, spool: Spool) -> None:
        self._assignments = assignments
        self._worker_id = worker_id
        self._spool = spool
        # What computed without its row at the last look.
        self._fenced: set[Assignment] = set()
        # Since when processes write an end.
        self._writing_since: dict[Assignment, float] = {}

    def database_is_down(self) -> None:
        """Until now no process could write: none is stuck."""
        self._writing_since = {}

    def look(self, held: list[Job], working: list[Assignment]) -> None:
        """Kill what works in vain. Called while the database answers.

        Args:
            held: the rows that this worker holds, read before `working`.
            working: what its processes did afterwards.
        """
        self._kill_fenced(held, working)
        self._kill_stuck(working)
        if any(job.cancel_requested_at for job in held):
            self._kill_cancelled(working)

    def _kill_fenced(self, held: Iterable[Job], working: Iterable[Assignment]) -> None:
        """Kill what computed without its row at two looks.

        A job that reports stops by itself. A silent one would compute to its end. A job that was
        claimed between the two reads of a look has its row at the second look.
        """
        fenced = {
            each
            for each in working
            if each.may_be_killed and not any(each.is_for(job) for job in held)
        }
        for each in fenced & self._fenced:
            if self._assignments.signal(each, signal.SIGKILL):
                logger.warning(
                    "job %s: another worker has taken over, the process %s that still computed it "
                    "is killed",
                    each.job_id,
                    each.pid,
                )
        self._fenced = fenced

    def _kill_stuck(self, working: Iterable[Assignment]) -> None:
        """Kill what has written for too long, and would try for ever.

        A job has closed its files, for example. The end is in the spool, and `write_spooled.py`
        writes it when the process is dead.
        """
        now = time.monotonic()
        writing = [each for each in working if each.activity == Activity.WRITING]
        self._writing_since = {each: self._writing_since.get(each, now) for each in writing}

        for each, since in self._writing_since.items():
            is_stuck = now - since > STUCK_SECONDS and self._spool.holds(each.job_id, each.token)
            if is_stuck and self._assignments.signal(each, signal.SIGKILL):
                logger.error(
                    "job %s: its process %s cannot write its end, though the database answers: "
                    "it is killed, and the end is written from the spool. Which job of this "
                    "process has closed files that it had not opened?",
                    each.job_id,
                    each.pid,
                )

    def _kill_cancelled(self, working: Iterable[Assignment]) -> None:
        """Kill what was asked to stop more than `conf().cancel_grace` seconds ago."""
        silent = Job.objects.filter(
            worker=self._worker_id,
            status=Status.RUNNING,
            cancel_requested_at__lt=from_now(-conf().cancel_grace),
        )
        for job in silent.defer(*Job.LARGE_FIELDS):
            for each in working:
                if each.may_be_killed and each.is_for(job):
                    logger.warning(
                        "job %s: it was cancelled and does not report, its process %s is killed",
                        job.pk,
                        each.pid,
                        extra=job.log_fields(),
                    )
                    self._assignments.signal(each, signal.SIGKILL)
