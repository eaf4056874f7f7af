"""Fails jobs that no worker has claimed before their deadline, also while they are paused."""

import logging
import time
from datetime import datetime
from uuid import UUID

from offload.jobs import transitions
from offload.jobs.database import FORK_LOCK
from offload.jobs.models import Job
from offload.jobs.notifier import EventPublisher
from offload.jobs.row_states import overdue
from offload.jobs.transactions import RowByRow, bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two runs. No worker claims an overdue job meanwhile, since `row_states.due` leaves
# it out.
OVERDUE_INTERVAL_SECONDS = 2.0
# Rows that one run fails.
OVERDUE_BATCH_ROWS = 100


class FailOverdue:
    """The duty: fail waiting jobs whose `start_before` has passed."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        self._next_run = 0.0

    def run(self) -> None:
        """Fail what is overdue, every 2 s; in the next look where a batch was not enough."""
        if time.monotonic() < self._next_run:
            return

        batch, rows = self._next_batch(), RowByRow()
        for job_id, deadline in batch:
            assert deadline is not None
            self._fail(job_id, deadline, rows)

        if len(batch) < OVERDUE_BATCH_ROWS:
            self._next_run = time.monotonic() + OVERDUE_INTERVAL_SECONDS

    def _next_batch(self) -> list[tuple[UUID, datetime | None]]:
        """The next overdue jobs, without those that another transaction holds.

        Each of those would be waited for, and nobody would do the other duties meanwhile.
        """
        rows = Job.objects.filter(overdue()).order_by("start_before")
        with FORK_LOCK:
            if not rows.exists():
                return []
            with bounded_transaction():
                unlocked = rows.select_for_update(skip_locked=True)
                return list(unlocked.values_list("pk", "start_before")[:OVERDUE_BATCH_ROWS])

    def _fail(self, job_id: UUID, deadline: datetime, rows: RowByRow) -> None:
        error = f"no worker began it before {deadline:%Y-%m-%d %H:%M:%S} UTC, its deadline"
        try:
            # The jobs above a part may be locked, too.
            with FORK_LOCK, rows.transaction():
                failed = transitions.give_up(job_id, error, overdue())
        except Job.DoesNotExist:
            return
        except Exception as fault:
            if not is_lock_conflict(fault):
                raise
            logger.warning("job %s is overdue, but its row is locked: trying again", job_id)
            return

        if failed is not None:
            logger.warning("job %s: %s", job_id, error, extra=failed.log_fields())
            self._events.publish(failed)
