"""Kills the processes of jobs that were asked to stop and do not report."""

import logging
import signal
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from offload.conf import conf
from offload.jobs.models import Job, Status
from offload.jobs.row_states import from_now
from offload.jobs.worker.assignments import Assignment, Assignments
from offload.jobs.worker.processes import signal_if

logger = logging.getLogger("offload.jobs")


def kill_cancelled(
    assignments: Assignments,
    worker_id: UUID,
    held: Iterable[Job],
    working: Iterable[Assignment],
) -> None:
    """Kill what was asked to stop more than `conf().cancel_grace` seconds ago.

    Only a process that computes this job, or waits for file storage, is killed. `orphans.py` then
    writes the end.
    """
    if not any(job.cancel_requested_at for job in held):
        return

    silent = Job.objects.filter(
        worker=worker_id,
        status=Status.RUNNING,
        cancel_requested_at__lt=from_now(-conf().cancel_grace),
    )
    for job in silent.defer(*Job.LARGE_FIELDS):
        for assignment in working:
            if assignment.may_be_killed and assignment.is_for(job):
                logger.warning(
                    "job %s: it was cancelled and does not report, its process %s is killed",
                    job.pk,
                    assignment.pid,
                    extra=job.log_fields(),
                )
                condition = partial(assignments.still_there, assignment)
                signal_if(condition, assignment.pid, signal.SIGKILL)
