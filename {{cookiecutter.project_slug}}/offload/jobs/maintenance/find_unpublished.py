"""Publishes messages for rows whose message was lost, never sent, or has waited for long."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from offload.jobs.database import FORK_LOCK
from offload.jobs.maintenance.read_stats import DueRows
from offload.jobs.models import Job
from offload.jobs.relay import Broker, BrokerUnavailable, JobMessage, UnknownQueue
from offload.jobs.row_states import due, from_now, waiting
from offload.jobs.stats import JobStats
from offload.jobs.transactions import bounded_transaction, index_reads

# Rows that became due so many seconds ago are left to the process that inserted them.
MIN_AGE_SECONDS = 0.5
# After so many seconds a row without `published_at` has certainly no message: every process marks
# what it has published within about a second.
NEVER_PUBLISHED_SECONDS = 5.0
# Rows of one queue that one run publishes. One takes 0.7 to 1 ms, and the lead is renewed between
# two runs: 30,000 rows that lost their messages have them again after a minute.
PUBLISH_BATCH_ROWS = 500
# Rows that one statement marks as published. SQLite allows 32,766 parameters.
MARK_BATCH_ROWS = 500
# While only some workers know a type, during a deploy, the others discard its messages. Its rows
# are published again after so many seconds.
HALF_SERVED_INTERVAL_SECONDS = 30.0
# Beyond so many waiting rows PostgreSQL might take a whole read of the table for cheaper. To keep
# it from that costs three statements.
MANY_ROWS = 5000
# The columns of a message.
MESSAGE_FIELDS = ("pk", "kind", "queue", "phase", "priority", "owner")
# Seconds that a message waits before its row may be published again.
STARVATION_SECONDS = 60.0
# The share of what workers compute that goes to such rows. So a row waits at most for ten times as
# many jobs as have waited longer than it.
OLDEST_SHARE = 0.1


class FindUnpublished:
    """The duty: give every due row that should have a message one.

    Two kinds of rows are published:
    1. Those that nobody has published since they became due.
    2. As many others as the broker holds too few messages, those with the oldest message first.

    `published_at` is on the row. A backlog is therefore published once, and not again by the next
    leader.
    """

    def __init__(self, broker: Broker, due_rows: Callable[[], DueRows]) -> None:
        self._broker = broker
        self._due_rows = due_rows

    def run(self) -> None:
        """Publish for every queue, until the broker fails."""
        due_rows = self._due_rows()
        for queue in sorted(due_rows.queues()):
            try:
                missing = due_rows.publishable_rows(queue) - self._broker.depth(queue)
            except BrokerUnavailable:
                return
            except UnknownQueue:
                # `publish` logs it, once.
                missing = 0

            many = due_rows.publishable_rows(queue) > MANY_ROWS
            with FORK_LOCK, index_reads() if many else nullcontext():
                rows = self._find(due_rows, queue, missing)
            self._broker.publish(JobMessage.of(job) for job in rows)
            mark_published(self._broker.take_published())

    def _find(self, due_rows: DueRows, queue: str, missing: int) -> list[Job]:
        """The rows of a queue to publish, at most `PUBLISH_BATCH_ROWS`."""
        rows = publishable(due_rows, queue)
        # All of them have the same `published_at`. With it PostgreSQL reads them in the order of
        # the index `offload_job_waiting`, up to the limit; else it would sort them all.
        never = rows.filter(published_at=None).order_by("published_at", "due_at")
        large = due_rows.large_owners(queue)

        if missing <= 0:
            forgotten = never.filter(due_at__lt=from_now(-NEVER_PUBLISHED_SECONDS))
            return list(forgotten[:PUBLISH_BATCH_ROWS])

        wanted = min(missing, PUBLISH_BATCH_ROWS)
        found = _small_owners_first(
            never.filter(due_at__lt=from_now(-MIN_AGE_SECONDS)), large, wanted
        )
        # The youngest rows have no message yet. What is missing besides them was published, and the
        # broker lost it.
        lost_count = wanted - never[:wanted].count()
        if lost_count > 0:
            lost = rows.filter(published_at__isnull=False).order_by("published_at")
            found += _small_owners_first(lost, large, lost_count)
        return found


class PublishOldest:
    """The duty: publish the rows with the oldest messages again, in the first step of their queue.

    A message in a late step waits for as long as there are earlier messages: a job of low priority,
    or of an owner with thousands of jobs, might never start. It is one row for every ten jobs that
    workers compute of the queue. The row's older message is still in the broker. A worker will
    discard it, because the row is no longer due then.
    """

    def __init__(self, broker: Broker, stats: JobStats, due_rows: Callable[[], DueRows]) -> None:
        self._broker = broker
        self._stats = stats
        self._due_rows = due_rows
        self._last_run = time.monotonic()
        # How many rows may be published now, by queue; fractions add up.
        self._allowance: dict[str, float] = defaultdict(float)

    def run(self) -> None:
        """Publish for every queue, as much as is allowed."""
        now = time.monotonic()
        elapsed, self._last_run = now - self._last_run, now
        due_rows = self._due_rows()

        for queue in due_rows.queues():
            self._allowance[queue] += self._drain(queue) * OLDEST_SHARE * elapsed
            # Where nothing starved for an hour, the next minute must not publish thousands.
            self._allowance[queue] = min(self._allowance[queue], PUBLISH_BATCH_ROWS)
            count = int(self._allowance[queue])
            if count:
                self._publish(due_rows, queue, count)

    def _drain(self, queue: str) -> float:
        stats = self._stats.queues.get(queue)
        return stats.drain if stats else 0.0

    def _publish(self, due_rows: DueRows, queue: str, count: int) -> None:
        oldest = publishable(due_rows, queue).order_by("published_at")
        with FORK_LOCK:
            rows = list(oldest.filter(published_at__lt=from_now(-STARVATION_SECONDS))[:count])

        # Also where fewer rows starve, so that the allowance does not grow.
        self._allowance[queue] -= count
        self._broker.publish(JobMessage.of(job).first_of_all() for job in rows)
        mark_published(self._broker.take_published())


def _small_owners_first(rows: QuerySet[Job], large: list[str], count: int) -> list[Job]:
    """The first rows, those of large owners last: one run publishes a share of a backlog."""
    found = list(rows.exclude(owner__in=large)[:count])
    if large and len(found) < count:
        found += rows.filter(owner__in=large)[: count - len(found)]
    return found


def publishable(due_rows: DueRows, queue: str) -> QuerySet[Job]:
    """The due rows of a queue, without those whose messages every worker would discard."""
    rows = Job.objects.filter(due(), queue=queue).only(*MESSAGE_FIELDS)
    rows = rows.exclude(kind__in=due_rows.unserved(queue))

    half_served = due_rows.half_served(queue)
    if half_served:
        lately = Q(published_at__gt=from_now(-HALF_SERVED_INTERVAL_SECONDS))
        rows = rows.exclude(lately, kind__in=half_served)
    return rows


def mark_published(job_ids: list[str]) -> None:
    """Note in the rows that they have a message, where they still wait for a worker.

    A job that was claimed within a second costs no write.
    """
    for start in range(0, len(job_ids), MARK_BATCH_ROWS):
        batch = [UUID(job_id) for job_id in job_ids[start : start + MARK_BATCH_ROWS]]
        with FORK_LOCK, bounded_transaction():
            published = Job.objects.filter(waiting(), pk__in=batch)
            unlocked = published.select_for_update(skip_locked=True).order_by("pk").values("pk")
            published.filter(pk__in=unlocked).update(published_at=Now())
