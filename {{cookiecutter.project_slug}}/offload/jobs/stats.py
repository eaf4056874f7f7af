"""What one process knows of queues, workers, database and broker, read once a second.

Admission and health checks read it from memory, and ask nobody.
"""

from dataclasses import dataclass, field

from django.db.models import Count, Min
from django.db.models.functions import Now
from prometheus_client import Gauge

from offload.conf import conf
from offload.jobs.database import due, from_now
from offload.jobs.models import FINAL, Job, Worker

# The drain rate is the mean of this many seconds.
DRAIN_WINDOW_SECONDS = 60.0

WAITING = Gauge("offload_jobs_waiting", "Jobs that are due and have not started", ["queue"])
OLDEST = Gauge("offload_jobs_oldest_seconds", "Age of the oldest of them", ["queue"])
WORKERS = Gauge("offload_jobs_workers", "Workers that renewed their row lately")


@dataclass
class QueueStats:
    """One queue, as it was a second ago."""

    # Jobs that are due.
    depth: int = 0
    # Seconds since the oldest of them was submitted.
    age: float = 0.0
    # Jobs that ended per second.
    drain: float = 0.0


@dataclass
class JobStats:
    """The stats of one process. `Maintenance` refreshes them once a second."""

    queues: dict[str, QueueStats] = field(default_factory=dict)
    # Workers that renewed their row within `conf().worker_silence` seconds.
    workers: int = 0
    # Whether the database answered the last time.
    database: bool = False
    # Whether the broker answered the last time.
    broker: bool = False

    def refresh(self) -> None:
        """Read queues and workers from the database: three queries."""
        # A queue that is empty now keeps its gauge, at 0.
        queues = {name: QueueStats() for name in self.queues}

        rows = Job.objects.filter(due()).values("queue")
        for row in rows.annotate(depth=Count("pk"), oldest=Min("created_at"), now=Now()).order_by():
            age = (row["now"] - row["oldest"]).total_seconds()
            queues[row["queue"]] = QueueStats(row["depth"], age)

        rows = Job.objects.filter(
            status__in=FINAL, finished_at__gt=from_now(-DRAIN_WINDOW_SECONDS)
        ).values("queue")
        counts = rows.annotate(count=Count("pk")).order_by().values_list("queue", "count")
        for queue, count in counts:
            queues.setdefault(queue, QueueStats()).drain = count / DRAIN_WINDOW_SECONDS

        self.queues = queues
        self.workers = Worker.objects.filter(seen_at__gt=from_now(-conf().worker_silence)).count()
        self._set_gauges()

    def _set_gauges(self) -> None:
        WORKERS.set(self.workers)
        for name, stats in self.queues.items():
            WAITING.labels(name).set(stats.depth)
            OLDEST.labels(name).set(stats.age)
