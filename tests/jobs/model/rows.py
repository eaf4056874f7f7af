"""The rows of a state: how they are written into the database, and read from it."""

import copy
import json
from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from offload.jobs import transactions
from offload.jobs.declare import find_job_type
from offload.jobs.models import Job

from . import job_types as job_types

# The newest token of every row, and the one that a fenced process holds.
NEWEST_TOKEN, OLD_TOKEN = 100, 99
# The model's workers, by their numbers.
WORKERS = (UUID(int=1001), UUID(int=1002))
PID = 7

# The two times of the model.
_TIMES = {"past": datetime(2000, 1, 1, tzinfo=UTC), "future": datetime(2100, 1, 1, tzinfo=UTC)}


class Row(NamedTuple):
    """What decides about a job's future."""

    status: str = "queued"
    phase: str = ""
    attempts: int = 0
    # The number of the worker that holds it.
    worker: int | None = None
    lease: str | None = None
    due: str | None = "past"
    # From when on a blocked job may become due, and the place of its limit that it has.
    blocked: str | None = None
    place: int | None = None
    asked: bool = False
    expires: str | None = None
    parts_count: int = 0
    value: int | None = None

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.status in ("succeeded", "failed", "cancelled")


FIELDS = [field for field in Job._meta.concrete_fields if field.column]
# One row with all its columns.
Columns = namedtuple("Columns", [field.column for field in FIELDS])

# The rows of all jobs, in the order of their numbers. None: not inserted yet, or deleted.
Rows = tuple[Row | None, ...]


@dataclass(frozen=True)
class Member:
    """One job of a family.

    Args:
        kind: the name of its type.
        parent: the number of the job that it is a part of.
        after: the number of the job that it follows, which is the one before it.
    """

    kind: str
    parent: int | None = None
    after: int | None = None

    @property
    def first_row(self) -> Row | None:
        """The row with which a life begins; None where it is inserted later."""
        if self.parent is not None or self.after is not None:
            return None
        limited = find_job_type(self.kind).limits.run_limit is not None
        return Row(due=None, blocked="past") if limited else Row()


# The parts of a divided job follow it, one after the other. `TWINS` says which jobs and parts may
# change places: a state is the same without their numbers.
FAMILIES: dict[str, tuple[Member, ...]] = {
    "plain": (Member("plain"),),
    "two plain": (Member("plain"), Member("plain")),
    "divided": (Member("whole"), Member("plain", 0), Member("plain", 0)),
    "nested": (Member("top"), Member("middle", 0), Member("plain", 1)),
    "divided and plain": (Member("middle"), Member("plain", 0), Member("plain")),
    "limited": (Member("limited"), Member("limited")),
    "chain": (Member("plain"), Member("plain", after=0)),
}
TWINS = {"two plain": (0, 1), "divided": (1, 2), "limited": (0, 1)}
# Each family's life without a fault: the action, the job, the worker. With a bounded depth, every
# state of it is a first state, so that the depth is the number of faults and their consequences.
LIVES: dict[str, list[tuple[str, int, int]]] = {
    "plain": [],
    "two plain": [("claim", 0, 0), ("claim", 1, 1)],
    "divided": [
        ("claim", 0, 0),
        ("divide", 0, 0),
        ("claim", 1, 0),
        ("claim", 2, 1),
        ("succeed", 1, 0),
        ("succeed", 2, 1),
        ("claim", 0, 0),
        ("succeed", 0, 0),
    ],
    "nested": [
        ("claim", 0, 0),
        ("divide", 0, 0),
        ("claim", 1, 0),
        ("divide", 1, 0),
        ("claim", 2, 0),
        ("succeed", 2, 0),
        ("claim", 1, 0),
        ("succeed", 1, 0),
        ("claim", 0, 0),
    ],
    "divided and plain": [("claim", 0, 0), ("divide", 0, 0), ("claim", 1, 0), ("claim", 2, 1)],
    # The worker does not count for an unblocking.
    "limited": [("unblock", 0, 0)],
    "chain": [("claim", 0, 0), ("succeed", 0, 0), ("claim", 1, 0)],
}


def job_id(number: int) -> UUID:
    """The id of the job of this number."""
    return UUID(int=number + 1)


class Table:
    """The table of jobs, for one family."""

    def __init__(self, family: tuple[Member, ...]) -> None:
        self.family = family
        columns = ", ".join(f'"{field.column}"' for field in FIELDS)
        marks = ", ".join("?" for _ in FIELDS)
        self._insert = f"INSERT INTO offload_job ({columns}) VALUES ({marks})"
        self._select = f"SELECT {columns} FROM offload_job"
        self._jobs: dict[tuple[int, Row], Job] = {}
        self._values: dict[tuple[int, Row], list[Any]] = {}

    def job(self, number: int, row: Row, token: int = NEWEST_TOKEN) -> Job:
        """A job's row as an object; with an old token, as a process remembers it."""
        if (number, row) not in self._jobs:
            self._jobs[number, row] = self._new_job(number, row)
        made = copy.copy(self._jobs[number, row])
        made.token = token
        return made

    def write(self, rows: Rows) -> None:
        """Make these the only rows."""
        # It remembers that a row was missing. In a real life no id comes back.
        transactions._parent_of.cache_clear()
        values = [self._values_of(n, row) for n, row in enumerate(rows) if row is not None]
        connection.ensure_connection()
        connection.connection.execute("DELETE FROM offload_job")
        connection.connection.executemany(self._insert, values)

    def read(self) -> "list[Columns | None]":
        """The rows that there are, by number, as SQLite has them."""
        found = {row[0]: Columns(*row) for row in connection.connection.execute(self._select)}
        return [found.get(job_id(number).hex) for number in range(len(self.family))]

    def _values_of(self, number: int, row: Row) -> list[Any]:
        if (number, row) not in self._values:
            job = self.job(number, row)
            self._values[number, row] = [
                field.get_db_prep_save(getattr(job, field.attname), connection) for field in FIELDS
            ]
        return self._values[number, row]

    def _new_job(self, number: int, row: Row) -> Job:
        member = self.family[number]
        siblings = [n for n, m in enumerate(self.family) if m.parent == member.parent]
        job_type = find_job_type(member.kind)
        made = Job.new(job_type, job_type.params(), "owner", id=job_id(number))
        if member.parent is not None:
            made.parent_id = job_id(member.parent)
            made.number = siblings.index(number) + 1
        if any(each.after == number for each in self.family):
            made.then = [Job.declared_columns(job_type)]
        made.created_at = _TIMES["past"]
        made.status, made.phase, made.attempts = row.status, row.phase, row.attempts
        made.parts_count = row.parts_count
        if row.worker is not None:
            made.worker, made.pid = WORKERS[row.worker], PID
        made.token = NEWEST_TOKEN
        made.lease_until = _TIMES.get(row.lease or "")
        made.due_at = _TIMES.get(row.due or "")
        made.unblock_at, made.place = _TIMES.get(row.blocked or ""), row.place
        made.cancel_requested_at = _TIMES["past"] if row.asked else None
        made.started_at = _TIMES["past"] if row.attempts else None
        made.finished_at = _TIMES["past"] if row.final else None
        made.expires_at = _TIMES.get(row.expires or "")
        made.result = None if row.value is None else {"value": row.value}
        return made


def row_of(columns: Any) -> Row | None:
    """A job's row without what decides nothing. It may be a `Job`, too."""
    if columns is None:
        return None
    worker, result = columns.worker, columns.result
    if isinstance(worker, str):
        worker = UUID(worker)
    if isinstance(result, str):
        result = json.loads(result)
    return Row(
        status=str(columns.status),
        phase=str(columns.phase),
        attempts=columns.attempts,
        worker=None if worker is None else WORKERS.index(worker),
        lease=_time(columns.lease_until),
        due=_time(columns.due_at),
        blocked=_time(columns.unblock_at),
        place=columns.place,
        asked=columns.cancel_requested_at is not None,
        expires=_time(columns.expires_at),
        parts_count=columns.parts_count,
        value=None if result is None else result["value"],
    )


def _time(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    # SQLite's have no zone.
    return "past" if moment.replace(tzinfo=UTC) <= datetime.now(UTC) else "future"
