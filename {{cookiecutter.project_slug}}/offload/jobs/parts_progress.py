"""The progress of a divided job: the mean of its parts."""

from django.db.models import Avg, Count, Q

from offload.jobs.divided import WAITS_FOR_PARTS
from offload.jobs.fenced_update import update_job
from offload.jobs.models import Job, Status
from offload.jobs.row_states import from_now, is_over

# Seconds between two updates of a divided job's progress, for each of its parts. PostgreSQL reads a
# part in 1 to 2 us, so that the updates of a job take at most 4 % of one CPU.
PROGRESS_INTERVAL_SECONDS_A_PART = 50e-6
# Seconds. The longest of these intervals: that of 100,000 parts.
MAX_PROGRESS_INTERVAL_SECONDS = 5.0


def update_progress(part: Job) -> Job | None:
    """Give a divided job the mean progress of its parts.

    It never falls: it stands still while a part computes again what it had computed, and where
    another part's report was written meanwhile. All parts are read for it, so the more there are,
    the more seldom it is done: of 10,000 twice a second, whatever number of processes report.

    Returns:
        The divided job's new row; None where `part` is no part, its parent waits no longer, was
        updated just now, or is as far or farther.
    """
    if part.parent_id is None:
        return None

    is_due = Q(progress_due_at=None) | is_over("progress_due_at", MAX_PROGRESS_INTERVAL_SECONDS)
    due = WAITS_FOR_PARTS & is_due
    # A parent that is not due is no row here, so that its parts are not read.
    found = Job.objects.filter(due, pk=part.parent_id).aggregate(
        mean=Avg("parts__progress"),
        done=Count("parts__finished_at"),
        failed=Count("parts__finished_at", filter=~Q(parts__status=Status.SUCCEEDED)),
        all=Count("parts__pk"),
    )
    if not found["all"]:
        return None

    message = f"{found['done']} of {found['all']} parts"
    if found["failed"]:
        message += f", {found['failed']} of them failed"
    interval = min(found["all"] * PROGRESS_INTERVAL_SECONDS_A_PART, MAX_PROGRESS_INTERVAL_SECONDS)
    return update_job(
        due & Q(progress__lte=found["mean"]),
        part.parent_id,
        progress=found["mean"],
        progress_due_at=from_now(interval),
        message=message,
    )
