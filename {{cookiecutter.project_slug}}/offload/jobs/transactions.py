"""Transactions of jobs: the one order of locks, and the limits of what they wait for.

The rows of a divided job are locked in one order (`lock_ancestors`), and a transaction that was a
deadlock's victim is tried again (`in_transaction`).
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import OperationalError, connection, transaction

from offload.jobs.models import Job
from offload.postgresql.conflicts import is_conflict, is_lock_conflict

logger = logging.getLogger("offload.jobs")

T = TypeVar("T")

# The duties of the maintenance wait this long for a lock of another transaction (PostgreSQL). A
# host that dies between UPDATE and COMMIT keeps its locks until its connection is given up, by
# Linux's defaults after 2 h 11 min.
MAINTENANCE_LOCK_TIMEOUT_SECONDS = 2.0
# A duty that has met a lock waits this long for each further one of its run: somebody may hold
# hundreds of rows, and nobody does the other duties meanwhile.
NEXT_LOCK_TIMEOUT_SECONDS = 0.01

# Rows of one INSERT. PostgreSQL ends a statement after 8 s, and one of 10,000 rows took longer on a
# busy machine. It ends a session whose client says nothing for 60 s within a transaction: so long
# took the text of one statement for 50,000 parts there. And no statement has more than 1 GB.
INSERT_BATCH_ROWS = 1000

# Statements about all parts of a job may take this long (PostgreSQL): an INSERT of 1,000 parts at
# their limit of 64 kB has 64 MB.
LONG_STATEMENT_TIMEOUT_SECONDS = 120.0

# How often a transaction is tried that PostgreSQL ends because of another one. The order of locks
# leaves few of them: a DELETE of many rows, or a service's own transaction. An isolation level
# above READ COMMITTED makes more.
MAX_TRANSACTION_TRIES = 5
# The longest wait between two of these tries, in seconds.
MAX_CONFLICT_WAIT_SECONDS = 0.05


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
def bounded_transaction(seconds: float | None = None) -> Iterator[None]:
    """A transaction that never waits long for a lock of another one.

    Args:
        seconds: for a lock; if not given, what a duty of the maintenance waits.

    Raises:
        OperationalError: it was not free in time. `is_lock_conflict` tells it from an outage.
    """
    seconds = MAINTENANCE_LOCK_TIMEOUT_SECONDS if seconds is None else seconds
    with transaction.atomic():
        if connection.vendor == "postgresql":
            _set_local("lock_timeout", int(seconds * 1000))
        yield


class RowByRow:
    """The transactions of one run of a duty, one for each row. A lock on one concerns no other."""

    def __init__(self) -> None:
        self._seconds = MAINTENANCE_LOCK_TIMEOUT_SECONDS

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """As `bounded_transaction`; only the first lock of the run is waited for."""
        try:
            with bounded_transaction(self._seconds):
                yield
        except OperationalError as error:
            if is_lock_conflict(error):
                self._seconds = NEXT_LOCK_TIMEOUT_SECONDS
            raise


def jobs_can_be_written() -> bool:
    """Whether no other transaction holds a lock on the whole table of jobs (PostgreSQL).

    An index that is built without CONCURRENTLY, a REINDEX and a VACUUM FULL do so for as long as
    they last. A row can be read and locked beside the first two, and not be written.
    """
    if connection.vendor != "postgresql":
        return True
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            # What an UPDATE takes, too.
            cursor.execute("LOCK TABLE offload_job IN ROW EXCLUSIVE MODE NOWAIT")
    except OperationalError as error:
        if not is_lock_conflict(error):
            raise
        return False
    return True


def long_statements() -> contextlib.AbstractContextManager[None]:
    """Within a transaction: statements about all parts of a job may take 2 minutes (PostgreSQL).

    The limit of a statement (8 s) is made for requests. Workers and the maintenance have it, too,
    and a statement that needs longer would fail each time that it is tried again.
    """
    return _statement_timeout(LONG_STATEMENT_TIMEOUT_SECONDS)


@contextlib.contextmanager
def index_reads() -> Iterator[None]:
    """PostgreSQL reads no table as a whole where an index has the rows.

    It cannot know that few of many waiting rows have no message: nearly all finished rows have
    none either. It would rather read them all, once a second. SQLite has no such choice.
    """
    if connection.vendor != "postgresql":
        # A transaction of ours would take SQLite's one write lock.
        yield
        return
    with transaction.atomic():
        _set_local("enable_seqscan", "off")
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

    _set_local("statement_timeout", int(seconds * 1000))
    # The client gives up a server that does not even end the statement.
    bounded.answer_timeout = seconds + 1.0
    try:
        yield
    finally:
        bounded.answer_timeout = usual


def _set_local(name: str, value: int | str) -> None:
    """Set a parameter of PostgreSQL until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = {value}")


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
            if not left or not is_conflict(error):
                raise
            logger.info("a transaction met another one and is tried again: %s", error)
            # Not at the same time as the other one.
            time.sleep(random.uniform(0.0, MAX_CONFLICT_WAIT_SECONDS))

    raise AssertionError("the last try returns or raises")
