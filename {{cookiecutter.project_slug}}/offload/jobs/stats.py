"""What one process knows of queues, workers, database and broker.

The leader reads queues and workers once a second (`maintenance/read_stats.py`) and writes them into
its row. Every other process reads that row. Admission and health checks read this object, from
memory, and ask nobody.
"""

import time
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from offload.jobs import metrics
from offload.observe.live_gauges import set_all_series

# The fields of `JobStats` that are dicts by queue, and have the same form in the leader's row.
COUNTS = ("unserved", "owners", "full_owners", "planned")


@dataclass
class QueueStats:
    """One queue, as the leader read it."""

    # Jobs that are due. Parts are not counted: an owner who divides one job into many parts keeps
    # nobody else from submitting.
    depth: int = 0
    # Seconds since the oldest of them became due.
    age: float = 0.0
    # Jobs that were computed per second, parts included; 0 where no worker reads the queue.
    drain: float = 0.0
    # Rows that are due, parts included: so many messages the broker should hold.
    rows: int = 0
    # Whether a running worker reads the queue.
    is_read: bool = True


@dataclass
class Backlog:
    """Due jobs of one type in one queue, parts included, also where they are paused."""

    queue: str
    kind: str
    rows: int
    # Seconds since the oldest of them became due; None where all are parts.
    age: float | None


@dataclass
class JobStats:
    """The stats of one process. `Maintenance` refreshes them once a second."""

    queues: dict[str, QueueStats] = field(default_factory=dict)
    # Workers that renewed their row within `conf().worker_silence` seconds, without those that were
    # told to stop.
    workers: int = 0
    # Due jobs whose type no running worker knows: their number by queue and type.
    unserved: dict[str, dict[str, int]] = field(default_factory=dict)
    # What waits, by queue and type.
    backlogs: list[Backlog] = field(default_factory=list)
    # What is paused: each has the name of a queue or of a job type, and an empty text.
    paused: list[tuple[str, str]] = field(default_factory=list)
    # Due jobs, parts included, of the owners with the most of them: their number by queue and
    # owner. `load` puts a new object here.
    owners: dict[str, dict[str, int]] = field(default_factory=dict)
    # Owners who have `conf().jobs_per_owner` due jobs in a queue, parts not counted, by queue.
    full_owners: dict[str, list[str]] = field(default_factory=dict)
    # Jobs that wait for a later time, by queue, parts not counted.
    planned: dict[str, int] = field(default_factory=dict)
    # The database's clock, less this process's: hosts' clocks differ.
    clock_error: timedelta = timedelta(0)
    # Whether the broker answered the last time.
    broker: bool = False
    # `time.monotonic()` when the leader read queues and workers.
    read_at: float | None = None

    def read_clock(self, database_now: datetime, asked_at: datetime) -> None:
        """Note what the database's clock said.

        Args:
            asked_at: this process's time just before it asked. With its time after the answer,
                `database_time` would be behind, and a job that is due since a moment would seem to
                be for later.
        """
        self.clock_error = database_now - asked_at

    def database_time(self) -> datetime:
        """The time by the database's clock, as far as this process knows it; it makes no query."""
        return timezone.now() + self.clock_error

    def age(self) -> float:
        """Seconds since the leader read queues and workers; infinite if nobody has."""
        return float("inf") if self.read_at is None else time.monotonic() - self.read_at

    def is_paused(self, queue: str, kind: str) -> bool:
        """Whether jobs of this type are not begun in this queue."""
        return (queue, "") in self.paused or ("", kind) in self.paused

    def to_json(self) -> dict[str, Any]:
        """What the leader writes into its row."""
        return {
            "queues": {name: asdict(queue) for name, queue in self.queues.items()},
            "workers": self.workers,
            "backlogs": [asdict(backlog) for backlog in self.backlogs],
            "paused": self.paused,
            **{name: getattr(self, name) for name in COUNTS},
        }

    def load(self, document: dict[str, Any], age: float) -> None:
        """Take over what the leader wrote `age` seconds ago.

        During a deploy the leader may be newer, and write what this version does not know.
        """
        # A queue that is empty now keeps its gauge, at 0.
        found = {name: QueueStats() for name in self.queues}
        for name, values in document.get("queues", {}).items():
            found[name] = QueueStats(**_known(QueueStats, values))

        self.queues = found
        self.workers = document.get("workers", 0)
        self.backlogs = [
            Backlog(**_known(Backlog, values)) for values in document.get("backlogs", [])
        ]
        self.paused = [(queue, kind) for queue, kind in document.get("paused", [])]
        for name in COUNTS:
            setattr(self, name, document.get(name, {}))
        self.read_at = time.monotonic() - age
        self._set_gauges(age)

    def _set_gauges(self, age: float) -> None:
        metrics.READ_AT.set(time.time() - age)
        metrics.WORKERS.set(self.workers)
        for name, queue in self.queues.items():
            metrics.WAITING.labels(name).set(queue.depth)
            metrics.OLDEST.labels(name).set(queue.age)
            metrics.UNREAD.labels(name).set(0 if queue.is_read else queue.rows)

        set_all_series(metrics.PAUSED, dict.fromkeys(self.paused, 1))
        unserved: dict[tuple[str, ...], float] = {
            (name, kind): count
            for name, kinds in self.unserved.items()
            for kind, count in kinds.items()
        }
        set_all_series(metrics.UNSERVED, unserved)


def _known(kind: type[QueueStats] | type[Backlog], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of the class."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}
