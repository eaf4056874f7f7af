"""Publishes the rows that have waited longest again, ahead of all others, so that none starves.

A message in a late step of its queue waits for as long as there are earlier messages: a job of low
priority, or of an owner with thousands of jobs, might never start.
"""

import time
from collections import defaultdict
from collections.abc import Callable

from offload.jobs.broker import Broker, JobMessage
from offload.jobs.database import FORK_LOCK
from offload.jobs.maintenance.due_rows import DueRows
from offload.jobs.maintenance.find_unpublished import (
    PUBLISH_BATCH_ROWS,
    mark_published,
    publishable,
)
from offload.jobs.row_states import from_now
from offload.jobs.stats import JobStats

# Seconds that a message waits before its row may be published again.
STARVATION_SECONDS = 60.0
# The share of what workers compute that goes to such rows. So a row waits at most for ten times as
# many jobs as have waited longer than it.
OLDEST_SHARE = 0.1


class PublishOldest:
    """The duty: publish the rows with the oldest messages again, in the first step of their queue.

    It is one row for every ten jobs that workers compute of the queue. The row's older message is
    still in the broker. A worker will discard it, because the row is no longer due then.

    Args:
        broker: this thread's connection to the broker.
        stats: what `ReadStats` found in this run: how many jobs workers compute a second.
        due_rows: what `ReadStats` found in this run: what waits.
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
