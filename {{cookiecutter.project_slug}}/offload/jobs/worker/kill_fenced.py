"""Kills processes that compute a job which another worker has taken over."""

import logging
import signal
from collections.abc import Iterable
from functools import partial

from offload.jobs.models import Job
from offload.jobs.worker.assignments import Assignment, Assignments
from offload.jobs.worker.processes import signal_if

logger = logging.getLogger("offload.jobs")


class KillFenced:
    """Finds what is computed in vain.

    A job that reports stops by itself. A silent one would compute to its end.
    """

    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments
        self._seen: set[Assignment] = set()

    def look(self, held: Iterable[Job], working: Iterable[Assignment]) -> None:
        """Kill what computed without its row at two looks.

        The rows are read before the table. A job that was claimed in between has its row at the
        second look.
        """
        held = list(held)
        fenced = {
            each
            for each in working
            if each.may_be_killed and not any(each.is_for(job) for job in held)
        }
        for each in fenced & self._seen:
            condition = partial(self._assignments.still_there, each)
            if signal_if(condition, each.pid, signal.SIGKILL):
                logger.warning(
                    "job %s: another worker has taken over, the process %s that still computed it "
                    "is killed",
                    each.job_id,
                    each.pid,
                )
        self._seen = fenced
