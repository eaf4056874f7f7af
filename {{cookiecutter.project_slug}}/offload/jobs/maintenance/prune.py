"""Deletes expired jobs with their stored results, and the rows of workers that ended long ago."""

import logging
import time

from django.core.files.storage import default_storage
from django.db.models.functions import Now

from offload.jobs.database import FORK_LOCK, from_now
from offload.jobs.models import Job, Worker

log = logging.getLogger("offload.jobs")

# Seconds between two runs, and between two runs where more is left to delete.
PRUNE_INTERVAL_SECONDS = 60.0
PRUNE_BACKLOG_INTERVAL_SECONDS = 1.0
# Rows of one run: a long DELETE would hold SQLite's one write lock.
PRUNE_BATCH_ROWS = 500
# Seconds after which the row of a silent worker is deleted: a day.
WORKER_ROW_LIFETIME_SECONDS = 86_400.0


class Prune:
    """The duty: delete one batch of what has expired, once a minute."""

    def __init__(self) -> None:
        self._next_run = 0.0

    def run(self) -> None:
        """Delete a batch, if a minute has passed."""
        if time.monotonic() < self._next_run:
            return
        # Also where this run fails: the next try is in a minute, not in a second.
        self._next_run = time.monotonic() + PRUNE_INTERVAL_SECONDS

        with FORK_LOCK:
            rows = Job.objects.filter(expires_at__lt=Now())
            expired = list(rows.values_list("pk", "result_file")[:PRUNE_BATCH_ROWS])
            deletable = [job_id for job_id, file in expired if not file or self._delete(file)]
            Job.objects.filter(pk__in=deletable).delete()
            Worker.objects.filter(seen_at__lt=from_now(-WORKER_ROW_LIFETIME_SECONDS)).delete()

        if len(expired) == PRUNE_BATCH_ROWS:
            self._next_run = time.monotonic() + PRUNE_BACKLOG_INTERVAL_SECONDS

    def _delete(self, file: str) -> bool:
        """Delete a stored result. Where that fails its row stays, for the next run."""
        try:
            default_storage.delete(file)
        except Exception:
            log.exception(
                "the expired result %s cannot be deleted and keeps its row; check the permissions "
                "of file storage",
                file,
            )
            return False
        return True
