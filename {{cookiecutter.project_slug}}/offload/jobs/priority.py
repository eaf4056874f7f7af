"""Priorities and fairness: in which step of the broker's queue a message waits.

A worker takes the messages of the lowest step first. The step follows from the job's priority and,
within it, from how many jobs its owner has waiting in that queue already: a job of an owner with
few is not kept waiting by an owner with thousands. No statement is needed for it, because the
leader counts the large owners once a second, for all processes.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from django.db import models

PriorityName = Literal["high", "normal", "low"]


class Priority(models.IntegerChoices):
    """Which jobs of a queue workers take first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2

    @classmethod
    def named(cls, name: PriorityName) -> "Priority":
        """The priority that a declaration or a caller writes as a word.

        Raises:
            ValueError: no priority has this name.
        """
        if name not in get_args(PriorityName):
            raise ValueError(f"priority must be 'high', 'normal' or 'low', not {name!r}")
        return cls[name.upper()]


class Band(NamedTuple):
    """The steps of one priority."""

    first_step: int
    # A job's step is one further for each bound that its owner's waiting jobs have reached.
    bounds: tuple[int, ...]


# kombu has ten steps, 0 to 9 (5.7, `Channel.max_priority`). config/celery.py names them.
BANDS = {
    Priority.HIGH: Band(0, (4,)),
    Priority.NORMAL: Band(2, (4, 32, 256)),
    Priority.LOW: Band(6, (4, 32, 256)),
}
# Owners with at least so many waiting jobs are counted by the leader; those with at least
# `LARGE_OWNER_ROWS` come last when the broker has lost its messages.
COUNTED_OWNER_ROWS = 4
LARGE_OWNER_ROWS = 32
# Owners that the leader counts, those with the most jobs first. Others count as owners with none.
MAX_COUNTED_OWNERS = 300


def step_of(priority: Priority, waiting: int) -> int:
    """The step of a message.

    Args:
        waiting: jobs that the owner has waiting already.
    """
    band = BANDS[priority]
    return band.first_step + bisect_right(band.bounds, waiting)


class OwnerBacklogs:
    """How many jobs each owner has waiting: what the leader counted, and what was published since.

    An owner's burst is counted at once, in the process that publishes it. A count is kept for two
    readings of the leader's, because the leader may have read before the burst. It may therefore be
    too high for a second or two, and is never too low for long.

    Args:
        counted: the leader's counts, by queue and owner: a new object after each reading.
    """

    def __init__(self, counted: Callable[[], dict[str, dict[str, int]]]) -> None:
        self._counted = counted
        self._seen = counted()
        self._published: Counter[tuple[str, str]] = Counter()
        self._published_before: Counter[tuple[str, str]] = Counter()

    def next_step(self, queue: str, owner: str, priority: Priority) -> int:
        """The step of one more message of this owner; an owner without a name has no backlog."""
        if not owner:
            return step_of(priority, 0)

        counted = self._counted()
        if counted is not self._seen:
            self._seen = counted
            self._published_before, self._published = self._published, Counter()

        key = queue, owner
        waiting = counted.get(queue, {}).get(owner, 0)
        waiting += self._published[key] + self._published_before[key]
        self._published[key] += 1
        return step_of(priority, waiting)
