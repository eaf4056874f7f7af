"""Publishes messages for rows whose message was lost or never sent."""

from offload.jobs.broker import Broker, BrokerUnavailable, Message, UnknownQueue
from offload.jobs.database import FORK_LOCK, due, from_now
from offload.jobs.models import Job
from offload.jobs.stats import JobStats

# Rows younger than this many seconds are left to the process that inserted them.
MIN_AGE_SECONDS = 0.5


class FindUnpublished:
    """The duty: as many messages as the broker holds fewer than rows are due.

    A backlog is therefore published once, not at every run.
    """

    def __init__(self, broker: Broker, stats: JobStats) -> None:
        self._broker = broker
        self._stats = stats

    def run(self) -> None:
        """Publish for the oldest due rows of every queue."""
        for queue, stats in self._stats.queues.items():
            if not stats.depth:
                continue

            try:
                missing = stats.depth - self._broker.depth(queue)
            except BrokerUnavailable:
                continue
            except UnknownQueue:
                # `publish` logs it, once.
                missing = 1

            if missing > 0:
                self._broker.publish(Message.of(job) for job in self._oldest(queue, missing))

    def _oldest(self, queue: str, count: int) -> list[Job]:
        rows = Job.objects.filter(due(), queue=queue, created_at__lt=from_now(-MIN_AGE_SECONDS))
        with FORK_LOCK:
            return list(rows.order_by("created_at").only("pk", "kind", "queue")[:count])
