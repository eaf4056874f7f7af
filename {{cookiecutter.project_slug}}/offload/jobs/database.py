"""How jobs use the database: the clock, fenced updates, the order of locks, outages and forks.

Four things are decided here and nowhere else:

1. Times are the database's (`from_now`), because the clocks of hosts differ.
2. A row is changed by one UPDATE whose WHERE holds a fencing token or a state (`fenced_update`).
3. The rows of a divided job are locked in one order (`lock_parent`).
4. What happens while the database is down (`retry_while_database_is_down`), and while a process
   forks (`FORK_LOCK`).
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from offload.jobs.models import Job, Status

log = logging.getLogger("offload.jobs")

T = TypeVar("T")

# What Django raises where the database refuses a statement, and where there is no connection.
DATABASE_ERRORS = (DatabaseError, InterfaceError)
# Those of them that are no fault of a row: the connection, a lock, the server.
CONNECTION_ERRORS = (OperationalError, InterfaceError)

# The SQLSTATE codes of PostgreSQL for a conflict with another transaction: a lock that was not free
# in time, a deadlock, a serialization failure (PostgreSQL, Appendix A). They say nothing about the
# connection.
LOCK_CONFLICT_CODES = ("55P03", "40P01", "40001")
# The duties of the maintenance wait this long for a lock of another transaction (PostgreSQL). A
# host that dies between UPDATE and COMMIT keeps its locks until its connection is given up, by
# Linux's defaults after 2 h 11 min.
MAINTENANCE_LOCK_TIMEOUT_SECONDS = 2.0

# A child that is forked while another thread is inside the database library would inherit the
# library's locks, and nobody would ever release them. The threads of a worker's main process use
# the database only under this lock, and a fork waits for it.
FORK_LOCK = threading.RLock()
os.register_at_fork(
    before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release
)

# Seconds between the tries of a write that the database refuses; 102 s together.
RETRY_WAITS_SECONDS = tuple(0.1 * 2.0**attempt for attempt in range(10))

# The columns of a job that becomes due now, and has no message yet.
DUE_NOW: dict[str, Any] = {"due_at": Now(), "published_at": None}
# The columns of a row that no worker holds.
UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )


def due() -> Q:
    """Rows that a worker may claim now: queued jobs, and divided ones whose parts succeeded."""
    return Q(due_at__lte=Now())


def held(token: int) -> Q:
    """The row, if the worker that got this token still holds it."""
    return Q(status=Status.RUNNING, token=token)


def held_and_wanted(token: int) -> Q:
    """The same, if nobody has asked the job to stop."""
    return held(token) & Q(cancel_requested_at=None)


def ended(status: Status) -> dict[str, Any]:
    """The columns of a job that ends now. Its row knows how long it is kept."""
    expires_at = ExpressionWrapper(Now() + F("result_lifetime"), output_field=DateTimeField())
    return {"status": status, "finished_at": Now(), "expires_at": expires_at, "due_at": None}


def fenced_update(where: Q, job_id: UUID, **values: Any) -> Job | None:
    """Change one row if it is still as `where` says.

    Returns:
        The new row; None where the row had moved on and nothing was changed.
    """
    changed = Job.objects.filter(where, pk=job_id).update(version=F("version") + 1, **values)
    return Job.objects.get(pk=job_id) if changed else None


def lock_parent(parent_id: UUID) -> Job:
    """Lock a divided job's row until the transaction ends (PostgreSQL; SQLite has one writer).

    The order of locks is today: the part that ends, its parent, the other parts. A change of the
    order is made here and in `divided.py`, which has every transition that writes more than one
    row of a divided job. Other statements that write many rows pass over locked ones
    (`SKIP LOCKED`): `transitions.renew`, and those of `maintenance/`.
    """
    return Job.objects.select_for_update().get(pk=parent_id)


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


def is_lock_conflict(error: Exception) -> bool:
    """Whether the database refused a statement because of another transaction's lock, and not
    because it is down.
    """
    return getattr(error.__cause__, "sqlstate", None) in LOCK_CONFLICT_CODES


def retry_while_database_is_down(write: Callable[[], T]) -> T:
    """Call `write` until the database accepts it: a result must survive a database's restart.

    Returns:
        What `write` returned.

    Raises:
        DatabaseError, InterfaceError: the database refused for 102 s, the sum of
            `RETRY_WAITS_SECONDS`.
    """
    for wait in RETRY_WAITS_SECONDS:
        try:
            return write()
        except DATABASE_ERRORS as error:
            connections.close_all()
            log.warning("the database does not answer; trying again in %.1f s: %s", wait, error)
            time.sleep(wait)

    return write()


def close_connections() -> None:
    """Close this thread's connections, for example after an outage."""
    with FORK_LOCK:
        connections.close_all()
