"""Settles divided jobs that wait although all their parts have ended.

The last part normally does it in its own transaction. It cannot where an isolation level above READ
COMMITTED hides another part's end from it, or where somebody deleted or changed rows by hand.
"""

import logging
import time
from datetime import datetime
from uuid import UUID

from offload.jobs import divided
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.events import EventPublisher
from offload.jobs.models import Job
from offload.jobs.transactions import RowByRow
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two runs: this is a net under rare faults.
SETTLE_INTERVAL_SECONDS = 10.0
# Divided jobs that one run looks at.
SETTLE_BATCH_ROWS = 100


class SettleDivided:
    """The duty: make divided jobs due, or end them, when no part of theirs is unfinished."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        self._next_run = 0.0
        # When the last divided job of a full batch was started.
        self._last_start: datetime | None = None

    def run(self) -> None:
        """Settle the next batch, every 10 s."""
        if time.monotonic() < self._next_run:
            return
        self._next_run = time.monotonic() + SETTLE_INTERVAL_SECONDS

        rows = RowByRow()
        for job_id in self._next_batch():
            self._settle(job_id, rows)

    def _next_batch(self) -> list[UUID]:
        """The next divided jobs that wait for their parts; in the run after the last, the first."""
        # `WAITS_FOR_PARTS` implies the four columns. They name the index `offload_job_divided`.
        waiting = Job.objects.filter(
            divided.WAITS_FOR_PARTS,
            worker__isnull=True,
            due_at__isnull=True,
            unblock_at__isnull=True,
            finished_at__isnull=True,
        ).order_by("started_at")
        if self._last_start is not None:
            waiting = waiting.filter(started_at__gt=self._last_start)

        with FORK_LOCK:
            batch = list(waiting.values_list("pk", "started_at")[:SETTLE_BATCH_ROWS])
        self._last_start = batch[-1][1] if len(batch) == SETTLE_BATCH_ROWS else None
        return [job_id for job_id, _ in batch]

    def _settle(self, job_id: UUID, rows: RowByRow) -> None:
        try:
            with FORK_LOCK:
                if divided.has_unfinished_parts(job_id):
                    return
                with rows.transaction():
                    settled = divided.settle(job_id)
        except Exception as error:
            if isinstance(error, CONNECTION_ERRORS) and not is_lock_conflict(error):
                raise
            logger.warning(
                "job %s waits for parts that have ended; trying again: %s", job_id, error
            )
            return

        if settled is not None:
            logger.warning(
                "job %s waited for parts that had all ended; it is %s now: its last part could "
                "not tell it. Is the database's isolation level READ COMMITTED?",
                job_id,
                settled.status,
                extra=settled.log_fields(),
            )
            self._events.publish(settled)
