"""Kills processes that cannot write the end of their job, though the database answers."""

import logging
import signal
import time
from collections.abc import Iterable
from functools import partial

from offload.jobs.worker.assignments import Activity, Assignment, Assignments
from offload.jobs.worker.processes import signal_if
from offload.jobs.worker.spool import Spool

logger = logging.getLogger("offload.jobs")

# Seconds that a process may write an end which is in the spool, while the database answers its
# main process. Its own tries are 5 s apart at most, and a statement takes 9 s.
STUCK_SECONDS = 60.0


class KillStuck:
    """Finds processes that would try for ever: a job has closed their files, for example.

    Their end is in the spool, and `write_spooled.py` writes it when they are dead.
    """

    def __init__(self, assignments: Assignments, spool: Spool) -> None:
        self._assignments = assignments
        self._spool = spool
        self._since: dict[Assignment, float] = {}

    def database_is_down(self) -> None:
        """Begin anew: until now no process could write."""
        self._since = {}

    def look(self, working: Iterable[Assignment]) -> None:
        """Kill what has written for too long. Called while the database answers."""
        now = time.monotonic()
        writing = [each for each in working if each.activity == Activity.WRITING]
        self._since = {each: self._since.get(each, now) for each in writing}

        for each, since in self._since.items():
            if now - since > STUCK_SECONDS and self._spool.holds(each.job_id, each.token):
                still_there = partial(self._assignments.still_there, each)
                if signal_if(still_there, each.pid, signal.SIGKILL):
                    logger.error(
                        "job %s: its process %s cannot write its end, though the database answers: "
                        "it is killed, and the end is written from the spool. Which job of this "
                        "process has closed files that it had not opened?",
                        each.job_id,
                        each.pid,
                    )
