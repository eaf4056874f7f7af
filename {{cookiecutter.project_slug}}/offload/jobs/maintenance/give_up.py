"""Fails waiting jobs that no worker will claim: they are too late, or nobody knows their type."""

import logging
import time
from uuid import UUID

from django.db import OperationalError
from django.db.models import Q, QuerySet

from offload.celery_app import celery_app
from offload.jobs import transitions
from offload.jobs.database import FORK_LOCK
from offload.jobs.events import EventPublisher
from offload.jobs.models import Job, Worker
from offload.jobs.row_states import due, due_or_blocked, from_now, overdue
from offload.jobs.transactions import RowByRow, bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two runs. No worker claims an overdue job meanwhile, since `row_states.due` leaves
# it out.
OVERDUE_INTERVAL_SECONDS = 2.0
UNKNOWN_INTERVAL_SECONDS = 60.0
# Seconds that a job waits for a worker that knows its type and queue: a day, so that a failed
# deploy can be repaired. `prune.py` keeps the rows of silent workers as long.
UNKNOWN_TYPE_LIFETIME_SECONDS = 86_400.0
# Rows that one run fails.
GIVE_UP_BATCH_ROWS = 100


class FailOverdue:
    """The duty: fail waiting jobs whose `start_before` has passed, also while they are paused."""

    def __init__(self, events: EventPublisher) -> None:
        self._events = events
        self._next_run = 0.0

    def run(self) -> None:
        """Fail what is overdue, every 2 s; in the next look where a batch was not enough."""
        if time.monotonic() < self._next_run:
            return

        batch, rows = self._next_batch(), RowByRow()
        for job in batch:
            error = (
                f"no worker began it before {job.start_before:%Y-%m-%d %H:%M:%S} UTC, its deadline"
            )
            failed = _give_up(job.pk, error, overdue(), rows, self._events)
            if failed is not None:
                logger.warning("job %s: %s", job.pk, error, extra=failed.log_fields())

        if len(batch) < GIVE_UP_BATCH_ROWS:
            self._next_run = time.monotonic() + OVERDUE_INTERVAL_SECONDS

    def _next_batch(self) -> list[Job]:
        rows = Job.objects.filter(overdue()).order_by("start_before")
        with FORK_LOCK:
            return _unlocked(rows) if rows.exists() else []


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
        return consumed or queue not in celery_app().amqp.queues

    def _fail(self, rows: QuerySet[Job], queue: str, kind: str) -> None:
        hours = UNKNOWN_TYPE_LIFETIME_SECONDS / 3600
        reason = f"no worker of the queue {queue!r} has known the job type {kind!r} for {hours:g} h"

        with FORK_LOCK:
            batch = _unlocked(rows)
        one_by_one = RowByRow()
        given_up = [
            _give_up(job.pk, reason, due_or_blocked(), one_by_one, self._events) for job in batch
        ]
        if failed := len(given_up) - given_up.count(None):
            logger.error("%s jobs have failed: %s. Was it renamed or removed?", failed, reason)


def _unlocked(rows: QuerySet[Job]) -> list[Job]:
    """A batch of these jobs, without those that another transaction holds.

    Each of those would be waited for, and nobody would do the other duties meanwhile.
    """
    with bounded_transaction():
        unlocked = rows.only("start_before").select_for_update(skip_locked=True)
        return list(unlocked[:GIVE_UP_BATCH_ROWS])


def _give_up(
    job_id: UUID, error: str, where: Q, rows: RowByRow, events: EventPublisher
) -> Job | None:
    """Fail one job. None where it, or a job above it, is locked, and where it is gone."""
    try:
        with FORK_LOCK, rows.transaction():
            failed = transitions.give_up(job_id, error, where)
    except Job.DoesNotExist:
        return None
    except OperationalError as fault:
        if not is_lock_conflict(fault):
            raise
        logger.warning("job %s: %s, but a row is locked: trying again", job_id, error)
        return None

    if failed is not None:
        events.publish(failed)
    return failed
