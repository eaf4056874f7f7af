"""What is due, and which running workers can compute it: what the leader has read in one run."""

from dataclasses import dataclass, field

from offload.jobs.priority import LARGE_OWNER_ROWS


@dataclass
class DueRows:
    """What the leader found: due rows by queue and type, and what the running workers know."""

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
