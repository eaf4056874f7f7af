"""Settles divided jobs that wait although all their parts have ended.

The last part normally does it in its own transaction. It cannot where an isolation level above READ
COMMITTED hides another part's end from it, or where somebody deleted or changed rows by hand.
"""

import logging
import time
from uuid import UUID

from django.db.models import Exists, OuterRef

from offload.jobs import divided
from offload.jobs.database import (
    CONNECTION_ERRORS,
    FORK_LOCK,
    bounded_transaction,
    is_lock_conflict,
)
from offload.jobs.models import FINAL, Job
from offload.jobs.notifier import EventPublisher

log = logging.getLogger("offload.jobs")

# Seconds between two runs: this is a net under rare faults.
SETTLE_INTERVAL_SECONDS = 10.0
# Divided jobs that one run settles.
SETTLE_BATCH_ROWS = 100


class SettleDivided:
    """The duty: make divided jobs due, or end them, when no part of theirs is unfinished."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        self._next_run = 0.0

    def run(self) -> None:
        """Settle what is overdue, every 10 s."""
        if time.monotonic() < self._next_run:
            return
        self._next_run = time.monotonic() + SETTLE_INTERVAL_SECONDS

        unfinished = Job.objects.filter(parent=OuterRef("pk")).exclude(status__in=FINAL)
        # The three columns name the index `offload_job_divided`.
        overdue = Job.objects.filter(
            divided.WAITS_FOR_PARTS, ~Exists(unfinished),
            worker__isnull=True, due_at__isnull=True, finished_at__isnull=True,
        )  # fmt: skip
        with FORK_LOCK:
            job_ids = list(overdue.order_by("started_at").values_list("pk", flat=True))

        for job_id in job_ids[:SETTLE_BATCH_ROWS]:
            self._settle(job_id)

    def _settle(self, job_id: UUID) -> None:
        try:
            with FORK_LOCK, bounded_transaction():
                settled = divided.settle(job_id)
        except Exception as error:
            if isinstance(error, CONNECTION_ERRORS) and not is_lock_conflict(error):
                raise
            log.warning("job %s waits for parts that have ended; trying again: %s", job_id, error)
            return

        if settled is not None:
            log.warning(
                "job %s waited for parts that had all ended; it is %s now: its last part could "
                "not tell it. Is the database's isolation level READ COMMITTED?",
                job_id,
                settled.status,
                extra=settled.log_fields(),
            )
            self._events.publish(settled)
