"""Fails jobs that no worker will ever compute: of a job type, or a queue, that was removed."""

import logging
import time
from uuid import UUID

from celery import current_app
from django.db import OperationalError
from django.db.models import QuerySet

from offload.jobs import transitions
from offload.jobs.database import FORK_LOCK
from offload.jobs.models import Job, Worker
from offload.jobs.notifier import EventPublisher
from offload.jobs.row_states import due, due_or_blocked, from_now
from offload.jobs.transactions import RowByRow, bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two runs.
UNKNOWN_INTERVAL_SECONDS = 60.0
# Seconds that a job waits for a worker that knows its type and queue: a day, so that a failed
# deploy can be repaired. `prune.py` keeps the rows of silent workers as long.
UNKNOWN_TYPE_LIFETIME_SECONDS = 86_400.0
# Rows that one run fails.
UNKNOWN_BATCH_ROWS = 100


class FailUnknown:
    """The duty: fail jobs of types that no worker knows.

    They have been due or blocked for a day, and no worker of their queue has known their type in
    that day. Nothing is failed while no worker has been there at all: the workers may be away.
    """

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        # Long after the start, so that workers of a deploy can say what they know.
        self._next_run = time.monotonic() + UNKNOWN_INTERVAL_SECONDS

    def run(self) -> None:
        """Fail what has waited for a day, once a minute."""
        if time.monotonic() < self._next_run:
            return
        self._next_run = time.monotonic() + UNKNOWN_INTERVAL_SECONDS

        with FORK_LOCK:
            # A day with no worker that says what it knows proves nothing.
            workers = list(Worker.objects.values_list("queues", "kinds"))
            if not workers or not all(kinds for _, kinds in workers):
                return

        since = from_now(-UNKNOWN_TYPE_LIFETIME_SECONDS)
        self._fail_unknown(Job.objects.filter(due(), due_at__lt=since), workers)
        self._fail_unknown(Job.objects.filter(unblock_at__lt=since), workers)

    def _fail_unknown(
        self, rows: QuerySet[Job], workers: list[tuple[list[str], list[str]]]
    ) -> None:
        with FORK_LOCK:
            pairs = list(rows.order_by().values_list("queue", "kind").distinct())

        known = {(queue, kind) for queues, kinds in workers for queue in queues for kind in kinds}
        for queue, kind in pairs:
            if (queue, kind) not in known and self._is_hopeless(queue, workers):
                self._fail(rows.filter(queue=queue, kind=kind), queue, kind)

    def _is_hopeless(self, queue: str, workers: list[tuple[list[str], list[str]]]) -> bool:
        """Whether waiting is in vain.

        Two cases: the queue was removed, or has workers that know no such type. A declared queue
        without any worker waits for one.
        """
        consumed = any(queue in queues for queues, _ in workers)
        return consumed or queue not in current_app.amqp.queues

    def _fail(self, rows: QuerySet[Job], queue: str, kind: str) -> None:
        hours = UNKNOWN_TYPE_LIFETIME_SECONDS / 3600
        reason = f"no worker of the queue {queue!r} has known the job type {kind!r} for {hours:g} h"

        with FORK_LOCK, bounded_transaction():
            unlocked = rows.select_for_update(skip_locked=True)
            job_ids = list(unlocked.values_list("pk", flat=True)[:UNKNOWN_BATCH_ROWS])

        one_by_one = RowByRow()
        failed = sum(self._fail_alone(job_id, reason, one_by_one) for job_id in job_ids)
        if failed:
            logger.error("%s jobs have failed: %s. Was it renamed or removed?", failed, reason)

    def _fail_alone(self, job_id: UUID, reason: str, rows: RowByRow) -> bool:
        """Fail one job. Whether it has failed: it or a job above it may be locked, or be gone."""
        try:
            with FORK_LOCK, rows.transaction():
                failed = transitions.give_up(job_id, reason, due_or_blocked())
        except Job.DoesNotExist:
            return False
        except OperationalError as error:
            if not is_lock_conflict(error):
                raise
            logger.warning("job %s: %s, but a row is locked: trying again", job_id, reason)
            return False

        if failed is not None:
            self._events.publish(failed)
        return failed is not None
