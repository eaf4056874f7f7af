"""Enforces the time limits of jobs and of file storage: a thread in the worker's main process.

Celery enforces limits in its loop, which sleeps while the broker is away: with Redis down for 25 s
a limit of 4 s killed after 35 s. This thread needs neither broker nor database.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

from offload.jobs.worker.assignments import Assignment, Assignments
from offload.jobs.worker.processes import signal_if

logger = logging.getLogger("offload.jobs")

# Seconds between two looks at the table: a limit is enforced so much late at most.
TIME_LIMIT_INTERVAL_SECONDS = 0.2


class TimeLimits(threading.Thread):
    """The thread.

    Args:
        assignments: the table of this worker's processes.
        killing: told of every process just before it is killed for its limit.
    """

    def __init__(self, assignments: Assignments, killing: Callable[[Assignment], None]) -> None:
        super().__init__(name="offload-time-limits", daemon=True)
        self._assignments = assignments
        self._killing = killing
        self._stopping = threading.Event()
        # What has got its soft limit's signal.
        self._asked: set[Assignment] = set()

    def stop(self) -> None:
        """End at the next look."""
        self._stopping.set()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._stopping.wait(TIME_LIMIT_INTERVAL_SECONDS):
            try:
                self._look()
            except Exception:
                logger.exception("the time limits failed, and are looked at again: this is a bug")

    def _look(self) -> None:
        now = time.monotonic()
        limited = {each for each in self._assignments.working() if each.may_be_killed}
        self._asked &= limited

        for each in limited:
            if now >= each.hard_limit_at:
                signal_if(partial(self._is_over_time, each), each.pid, signal.SIGKILL)
            elif now >= each.soft_limit_at and each not in self._asked:
                self._asked.add(each)
                # `executor.py` raises SoftTimeLimitExceeded for it.
                self._assignments.signal(each, signal.SIGUSR1)

    def _is_over_time(self, assignment: Assignment) -> bool:
        """Whether the process still does that. If so, the reason is told before it dies."""
        if not self._assignments.still_there(assignment):
            return False
        self._killing(assignment)
        return True
