"""Reads queues and workers from the database, for all processes."""

import logging
import math
import time
from dataclasses import dataclass, field

from django.db.models import Count, Min, Q
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs.database import FORK_LOCK
from offload.jobs.maintenance.leader import Leadership
from offload.jobs.models import Job, Pause
from offload.jobs.priority import COUNTED_OWNER_ROWS, LARGE_OWNER_ROWS, MAX_COUNTED_OWNERS
from offload.jobs.row_states import from_now, running_workers, waiting
from offload.jobs.stats import Backlog, JobStats, QueueStats

logger = logging.getLogger("offload.jobs")

# The drain rate is the mean of this many seconds.
DRAIN_WINDOW_SECONDS = 60.0


@dataclass
class DueRows:
    """What is due, and which running workers can compute it: what one run has found."""

    # Due rows by queue and type, without those that are paused.
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    # For each running worker its queues, and the types that it knows; None: it did not say.
    workers: list[tuple[set[str], set[str] | None]] = field(default_factory=list)
    # Due rows of the owners with the most of them, by queue and owner.
    owners: dict[str, dict[str, int]] = field(default_factory=dict)

    def queues(self) -> set[str]:
        """The queues in which rows are due."""
        return {queue for queue, _ in self.counts}

    def is_read(self, queue: str) -> bool:
        """Whether a running worker reads the queue."""
        return any(queue in queues for queues, _ in self.workers)

    def unserved(self, queue: str) -> set[str]:
        """Types with due rows that no running worker of the queue knows. Empty where none runs."""
        known = self._known(queue)
        return {kind for kind in self._due(queue) if known and not any(kind in s for s in known)}

    def half_served(self, queue: str) -> set[str]:
        """Types with due rows that some running workers of the queue know and others do not.

        The others discard their messages. It is so during a deploy.
        """
        known = self._known(queue)
        kinds = {kind for kind in self._due(queue) if not all(kind in s for s in known)}
        return kinds - self.unserved(queue)

    def large_owners(self, queue: str) -> list[str]:
        """The owners with many due rows in a queue."""
        counts = self.owners.get(queue, {})
        return [owner for owner, rows in counts.items() if rows >= LARGE_OWNER_ROWS]

    def publishable_rows(self, queue: str) -> int:
        """How many due rows of a queue should have a message."""
        unserved = self.unserved(queue)
        return sum(count for kind, count in self._due(queue).items() if kind not in unserved)

    def _due(self, queue: str) -> dict[str, int]:
        return {kind: count for (name, kind), count in self.counts.items() if name == queue}

    def _known(self, queue: str) -> list[set[str]]:
        """What each running worker of a queue knows. A worker that did not say knows everything."""
        everything = set(self._due(queue))
        return [
            everything if kinds is None else kinds
            for queues, kinds in self.workers
            if queue in queues
        ]


class ReadStats:
    """The duty: read what waits and who works, and write it into the leader's row.

    No statement here reads finished rows, but for those of the last minute.
    """

    def __init__(self, stats: JobStats, leadership: Leadership) -> None:
        self._stats = stats
        self._leadership = leadership
        self._reported: set[tuple[str, str]] = set()
        # When pauses ended: `time.monotonic()` by what was paused.
        self._resumed_at: dict[tuple[str, str], float] = {}
        # For the other duties of this run.
        self.due_rows = DueRows()

    def run(self) -> None:
        """Read and publish."""
        found = JobStats()
        with FORK_LOCK:
            self._read_pauses(found)
            counts = self._read_waiting(found)
            self._read_owners(found, counts)
            self.due_rows = DueRows(counts, self._read_workers(), found.owners)
            self._read_drain(found)

        # One that was told to stop reads none.
        found.workers = sum(bool(queues) for queues, _ in self.due_rows.workers)
        for name, counted in found.queues.items():
            counted.is_read = self.due_rows.is_read(name)
        for queue in self.due_rows.queues():
            kinds = self.due_rows.unserved(queue)
            if kinds:
                found.unserved[queue] = {kind: self.due_rows.counts[queue, kind] for kind in kinds}
        self._find_ages(found)

        document = found.to_json()
        with FORK_LOCK:
            self._leadership.publish_stats(document)
            # Under the lock, too: a fork must not meet a thread inside the metrics' library.
            self._stats.load(document, age=0.0)
        self._report_unserved(found)

    def _read_waiting(self, found: JobStats) -> dict[tuple[str, str], int]:
        """Count waiting rows, and those that wait for a later time.

        It is one read of the index `offload_job_waiting`. The index has no ids: to count them,
        PostgreSQL would read the rows, and where many wait, the whole table.
        Paused jobs count for the depth of their queue, which bounds it. They count neither for its
        age nor among the rows that should have a message.
        """
        whole = Q(number=0)
        rows = (
            Job.objects.filter(due_at__isnull=False)
            .values("queue", "kind")
            .annotate(
                rows=Count("queue", filter=waiting()),
                depth=Count("queue", filter=waiting() & whole),
                planned=Count("queue", filter=Q(due_at__gt=Now()) & whole),
                oldest=Min("due_at", filter=waiting() & whole),
                now=Now(),
            )
            .order_by()
        )
        counts: dict[tuple[str, str], int] = {}
        for row in rows:
            if row["planned"]:
                found.planned[row["queue"]] = found.planned.get(row["queue"], 0) + row["planned"]
            if not row["rows"]:
                continue
            queue = found.queues.setdefault(row["queue"], QueueStats())
            queue.depth += row["depth"]
            oldest = row["oldest"]
            age = (row["now"] - oldest).total_seconds() if oldest is not None else None
            found.backlogs.append(Backlog(row["queue"], row["kind"], row["rows"], age))
            if found.is_paused(row["queue"], row["kind"]):
                continue
            counts[row["queue"], row["kind"]] = row["rows"]
            queue.rows += row["rows"]
        return counts

    def _find_ages(self, found: JobStats) -> None:
        """Find the age of each queue: of its oldest job that a running worker could begin.

        A queue that is too old takes no more jobs. One job of a type that was renamed would keep
        all others out for a day.
        """
        for backlog in found.backlogs:
            name, kind = backlog.queue, backlog.kind
            begins = not found.is_paused(name, kind) and kind not in found.unserved.get(name, ())
            if backlog.age is not None and begins:
                age = min(backlog.age, self._since_resume(name, kind))
                found.queues[name].age = max(found.queues[name].age, age)

    def _read_pauses(self, found: JobStats) -> None:
        found.paused = list(Pause.objects.values_list("queue", "kind"))
        for target in set(self._stats.paused).difference(found.paused):
            self._resumed_at[target] = time.monotonic()

    def _since_resume(self, queue: str, kind: str) -> float:
        """Seconds since jobs of this type could be begun again; infinite if they always could.

        A job's age begins then: submits are not refused because of a pause that is over.
        """
        resumed = [self._resumed_at.get(target) for target in ((queue, ""), ("", kind))]
        return min((time.monotonic() - at for at in resumed if at), default=math.inf)

    def _read_owners(self, found: JobStats, rows: dict[tuple[str, str], int]) -> None:
        """Count the due rows of large owners: another read of that index, if there can be one."""
        limit = conf().jobs_per_owner
        least = min(COUNTED_OWNER_ROWS, limit or COUNTED_OWNER_ROWS)
        if sum(rows.values()) < least:
            return

        counts = (
            Job.objects.filter(waiting())
            .values("queue", "owner")
            .annotate(rows=Count("queue"), depth=Count("queue", filter=Q(number=0)))
        )
        large = counts.filter(rows__gte=least).order_by("-rows")[:MAX_COUNTED_OWNERS]
        for row in large:
            found.owners.setdefault(row["queue"], {})[row["owner"]] = row["rows"]
            if limit and row["depth"] >= limit:
                found.full_owners.setdefault(row["queue"], []).append(row["owner"])

    def _read_workers(self) -> list[tuple[set[str], set[str] | None]]:
        return [
            (set(queues), set(kinds) or None)
            for queues, kinds in running_workers().values_list("queues", "kinds")
        ]

    def _read_drain(self, found: JobStats) -> None:
        """Count what workers computed in the last minute.

        Nobody computed a job that was cancelled in its queue. A queue whose workers have gone is
        not drained any more.
        """
        computed = Job.objects.filter(
            finished_at__gt=from_now(-DRAIN_WINDOW_SECONDS), started_at__isnull=False
        )
        counts = computed.values("queue").annotate(count=Count("pk")).order_by()
        for queue, count in counts.values_list("queue", "count"):
            if self.due_rows.is_read(queue):
                found.queues.setdefault(queue, QueueStats()).drain = count / DRAIN_WINDOW_SECONDS

    def _report_unserved(self, found: JobStats) -> None:
        # A type that is served again is reported again the next time.
        reported, self._reported = self._reported, set()
        for queue, kinds in found.unserved.items():
            for kind, count in kinds.items():
                self._reported.add((queue, kind))
                if (queue, kind) not in reported:
                    logger.error(
                        "%s jobs of type %r wait in the queue %r, and no running worker knows "
                        "this type. Deploy workers that declare it, or cancel the jobs",
                        count,
                        kind,
                        queue,
                    )
