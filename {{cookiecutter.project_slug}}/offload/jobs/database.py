"""How jobs use the database: the clock, fenced updates, the order of locks, and forks.

Four things are decided here and nowhere else:

1. Times are the database's (`from_now`), because the clocks of hosts differ.
2. A row is changed by one UPDATE whose WHERE holds a fencing token or a state (`fenced_update`).
3. The rows of a divided job are locked in one order (`lock_ancestors`), and a transaction that was
   a deadlock's victim is tried again (`in_transaction`).
4. What happens while a process forks (`FORK_LOCK`). `worker/outage.py` says what happens while
   the database is down.
"""

import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import (
    BooleanField,
    DateTimeField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Value,
)
from django.db.models.expressions import Col, Combinable, RawSQL
from django.db.models.functions import Now
from django.db.models.sql import UpdateQuery

# A fork takes locks in the reverse order of their registration: first `FORK_LOCK`, under which a
# thread may count, and so wait for this one.
import offload.observe.no_fork  # noqa: F401
from offload.conf import conf
from offload.jobs.models import Job, Status, Worker

logger = logging.getLogger("offload.jobs")

T = TypeVar("T")

# What Django raises where the database refuses a statement, and where there is no connection.
DATABASE_ERRORS = (DatabaseError, InterfaceError)
# Those of them that are no fault of a row: the connection, a lock, the server.
CONNECTION_ERRORS = (OperationalError, InterfaceError)

# The codes (SQLSTATE, appendix A) with which PostgreSQL ends a transaction because of another one:
# serialization_failure, deadlock_detected.
CONFLICT_CODES = ("40001", "40P01")
# Those, and lock_not_available: a lock was not free in time. They say nothing about the connection.
LOCK_CONFLICT_CODES = (*CONFLICT_CODES, "55P03")
# The duties of the maintenance wait this long for a lock of another transaction (PostgreSQL). A
# host that dies between UPDATE and COMMIT keeps its locks until its connection is given up, by
# Linux's defaults after 2 h 11 min.
MAINTENANCE_LOCK_TIMEOUT_SECONDS = 2.0

# Statements about all parts of a job may take this long (PostgreSQL): an INSERT of 10,000 parts at
# their limit of 64 kB has 640 MB.
LONG_STATEMENT_TIMEOUT_SECONDS = 120.0

# A child that is forked while another thread is inside the database library would inherit the
# library's locks, and nobody would ever release them. The threads of a worker's main process use
# the database only under this lock, and a fork waits for it.
FORK_LOCK = threading.RLock()
os.register_at_fork(
    before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release
)

# How often a transaction is tried that PostgreSQL ends because of another one. The order of locks
# leaves few of them: a DELETE of many rows, or a service's own transaction.
MAX_TRANSACTION_TRIES = 5
# The longest wait between two of these tries, in seconds.
MAX_CONFLICT_WAIT_SECONDS = 0.05

# As SQL, because each claim asks it: Django would spend some 0.2 ms on the two subqueries.
NOT_PAUSED = RawSQL(
    "kind NOT IN (SELECT kind FROM offload_pause)"
    " AND queue NOT IN (SELECT queue FROM offload_pause)",
    (),
    output_field=BooleanField(),
)
# The columns of a job that waits for no worker any more.
NOT_WAITING: dict[str, Any] = {"due_at": None, "start_before": None}
# The columns of a row that no worker holds.
UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )


def due_again(job: Job, due_at: Any = None) -> dict[str, Any]:
    """The columns of a job that becomes due, and has no message yet.

    A limited job is blocked instead, gives its place up, and becomes due by `blocked.unblock`.

    Args:
        due_at: the time from which it is due; now if not given.
    """
    due_at = due_at or Now()
    limited = job.limit_key is not None
    return {
        "due_at": None if limited else due_at,
        "unblock_at": due_at if limited else None,
        "place": None,
        "published_at": None,
        "claimed_at": None,
    }


def waiting() -> Q:
    """Rows whose time has come: queued jobs, and divided ones whose parts succeeded."""
    return Q(due_at__lte=Now())


def due() -> Q:
    """Waiting rows that a worker may claim now: not paused, and not too late."""
    in_time = Q(start_before=None) | Q(start_before__gt=Now())
    return Q(waiting(), NOT_PAUSED, in_time)


def overdue() -> Q:
    """Waiting rows whose deadline for their start has passed."""
    # The first condition is implied. It names the index `offload_job_deadline`.
    return Q(start_before__isnull=False, start_before__lte=Now())


def due_or_blocked() -> Q:
    """Rows that a worker may claim now, and those that a limit keeps from it."""
    return due() | Q(unblock_at__lte=Now())


def running_workers() -> QuerySet[Worker]:
    """The workers that renewed their row lately."""
    return Worker.objects.filter(seen_at__gt=from_now(-conf().worker_silence))


def held(token: int) -> Q:
    """The row, if the worker that got this token still holds it."""
    return Q(status=Status.RUNNING, token=token)


def held_and_wanted(token: int) -> Q:
    """The row that `held` means, if nobody has asked the job to stop."""
    return held(token) & Q(cancel_requested_at=None)


def end_columns(status: Status) -> dict[str, Any]:
    """The columns of a job that ends now. Its row knows how long it is kept."""
    expires_at = ExpressionWrapper(Now() + F("result_lifetime"), output_field=DateTimeField())
    return {
        "status": status,
        "finished_at": Now(),
        "expires_at": expires_at,
        "unblock_at": None,
        "place": None,
        **NOT_WAITING,
    }


def fenced_update(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """Change one row if it is still as `where` says, and read it, in one statement.

    Outside of a transaction it is committed by itself: one round trip to PostgreSQL.

    Returns:
        The new row, without `Job.LARGE_FIELDS`; None where the row had moved on and nothing was
        changed.
    """
    return _update_returning(where, job_id, Job.LARGE_FIELDS, **values)


def fenced_claim(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """`fenced_update` with the parameters in the row, for the process that computes."""
    return _update_returning(where, job_id, ("result",), **values)


def _update_returning(
    where: Q, job_id: UUID, left_out: tuple[str, ...], **values: Any
) -> Job | None:
    # The connection itself: behind the proxy `connection`, Django's compiler would look it up some
    # 150 times, which is a tenth of a job's CPU.
    database = connections[DEFAULT_DB_ALIAS]
    # Django 5.2 and 6.1 have no RETURNING for an UPDATE: it is put behind the statement that
    # `QuerySet.update` would run. SQLite knows it since 3.35 (March 2021).
    query: Any = Job.objects.filter(where, pk=job_id).query.chain(UpdateQuery)
    query.add_update_values({"version": F("version") + 1, **values})
    compiler = query.get_compiler(connection=database)
    statement, params = compiler.as_sql()
    returned = _returned(left_out)

    with database.cursor() as cursor:
        cursor.execute(f"{statement} RETURNING {returned.names}", params)
        # To the end, although there is one row: SQLite commits with the last one.
        rows = cursor.fetchall()

    converters = compiler.get_converters(returned.columns)
    for row in compiler.apply_converters(rows, converters):
        return Job.from_db(database.alias, returned.attributes, row)
    return None


class _Returned(NamedTuple):
    """What RETURNING names: as SQL, as columns, and as the model's attributes."""

    names: str
    columns: list[Col]
    attributes: list[str]


@lru_cache
def _returned(left_out: tuple[str, ...]) -> _Returned:
    """All columns but these, in the order of the model, as `from_db` needs them."""
    every: Any = Job._meta.concrete_fields  # noqa: SLF001 - documented (Model _meta API)
    fields = [field for field in every if field.name not in left_out]
    # As in a query: of a foreign key's column the type is that of its target.
    columns = [field.get_col(Job._meta.db_table) for field in fields]  # noqa: SLF001 - the same
    names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    return _Returned(names, columns, [field.attname for field in fields])


def lock_ancestors(job: Job) -> Job | None:
    """Lock the rows above a part until the transaction ends (PostgreSQL; SQLite has one writer).

    The one order of locks: a divided job before its parts, from the top of the family down, and
    parts by their numbers. So a transition that writes more than one row calls this first. A
    transition that writes its own row alone needs no other lock. Other statements that write rows
    of many families pass over locked ones (`SKIP LOCKED`): `transitions.renew`, and those of
    `maintenance/`.

    Returns:
        The job's parent, locked; None where the job is no part, or the family was deleted.
    """
    above: list[UUID] = []
    next_above = job.parent_id
    while next_above is not None:
        above.append(next_above)
        next_above = _parent_of(next_above)

    parent = None
    for ancestor in reversed(above):
        # None: it was discarded with all its parts, and the caller's own UPDATE finds no row.
        rows = Job.objects.select_for_update().defer(*Job.LARGE_FIELDS)
        parent = rows.filter(pk=ancestor).first()
    return parent


@contextlib.contextmanager
def bounded_transaction() -> Iterator[None]:
    """A transaction of the maintenance: it never waits long for a lock of another transaction.

    Raises:
        OperationalError: a row was locked for 2 s. `is_lock_conflict` tells it from an outage.
    """
    with transaction.atomic():
        if connection.vendor == "postgresql":
            milliseconds = int(MAINTENANCE_LOCK_TIMEOUT_SECONDS * 1000)
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {milliseconds}")
        yield


@contextlib.contextmanager
def long_statements() -> Iterator[None]:
    """Within a transaction: statements about all parts of a job may take 2 minutes (PostgreSQL).

    The limit of a statement (8 s) is made for requests. Workers and the maintenance have it, too,
    and a statement that needs longer would fail each time that it is tried again.
    """
    with _statement_timeout(LONG_STATEMENT_TIMEOUT_SECONDS):
        yield


@contextlib.contextmanager
def short_reads(seconds: float) -> Iterator[None]:
    """Each statement may take so many seconds (PostgreSQL; on SQLite a read waits for nobody).

    Raises:
        OperationalError: one took longer. PostgreSQL then takes no other one within the block.
    """
    if connection.vendor != "postgresql":
        # A transaction of ours would take SQLite's one write lock.
        yield
        return
    with transaction.atomic(), _statement_timeout(seconds):
        yield


@contextlib.contextmanager
def _statement_timeout(seconds: float) -> Iterator[None]:
    """Within a transaction: the limit of a statement, where there is one."""
    bounded: Any = connection.connection
    usual = getattr(bounded, "answer_timeout", None)
    if usual is None:
        yield
        return

    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
    # The client gives up a server that does not even end the statement.
    bounded.answer_timeout = seconds + 1.0
    try:
        yield
    finally:
        bounded.answer_timeout = usual


def is_lock_conflict(error: Exception) -> bool:
    """Whether a statement was refused for another transaction's lock, and not for an outage."""
    return getattr(error.__cause__, "sqlstate", None) in LOCK_CONFLICT_CODES


@lru_cache(maxsize=1000)
def _parent_of(job_id: UUID) -> UUID | None:
    """The id of a job's parent, which never changes: a worker asks once for all parts of a job."""
    return Job.objects.filter(pk=job_id).values_list("parent_id", flat=True).first()


def in_transaction(write: Callable[[], T]) -> T:
    """Call `write` in a transaction; again where PostgreSQL has chosen it as a deadlock's victim.

    Raises:
        OperationalError: as `retry_conflicts`.
    """

    def write_together() -> T:
        with transaction.atomic():
            return write()

    return retry_conflicts(write_together)


def retry_conflicts(write: Callable[[], T]) -> T:
    """Call `write`; again where PostgreSQL has ended it because of another transaction.

    Inside a caller's own transaction it is called once: PostgreSQL undoes that one, too.

    Returns:
        What `write` returned.

    Raises:
        OperationalError: it was the victim `MAX_TRANSACTION_TRIES` times.
    """
    tries = 1 if connection.in_atomic_block else MAX_TRANSACTION_TRIES

    for left in reversed(range(tries)):
        try:
            return write()
        except OperationalError as error:
            if not left or getattr(error.__cause__, "sqlstate", None) not in CONFLICT_CODES:
                raise
            logger.info("a transaction met another one and is tried again: %s", error)
            # Not at the same time as the other one.
            time.sleep(random.uniform(0.0, MAX_CONFLICT_WAIT_SECONDS))

    raise AssertionError("the last try returns or raises")


def close_connections() -> None:
    """Close this thread's connections, for example after an outage."""
    with FORK_LOCK:
        connections.close_all()
