"""How jobs use the database: the clock, fenced updates, the order of locks, and forks.

Four things are decided here and nowhere else:

1. Times are the database's (`from_now`), because the clocks of hosts differ.
2. A row is changed by one UPDATE whose WHERE holds a fencing token or a state (`fenced_update`).
3. The rows of a divided job are locked in one order (`lock_parent`).
4. What happens while a process forks (`FORK_LOCK`). `worker/outage.py` says what happens while
   the database is down.
"""

import os
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from offload.jobs.models import Job, Phase, Status

# What Django raises where the database refuses a statement, and where there is no connection.
DATABASE_ERRORS = (DatabaseError, InterfaceError)
# Those of them that are no fault of a row: the connection, a lock, the server.
CONNECTION_ERRORS = (OperationalError, InterfaceError)

# A child that is forked while another thread is inside the database library would inherit the
# library's locks, and nobody would ever release them. The threads of a worker's main process use
# the database only under this lock, and a fork waits for it.
FORK_LOCK = threading.RLock()
os.register_at_fork(
    before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release
)

# The columns of a row that no worker holds.
UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )


def due() -> Q:
    """Rows that a worker may claim now: queued jobs, and divided ones whose parts succeeded."""
    queued = Q(status=Status.QUEUED) & (Q(not_before=None) | Q(not_before__lte=Now()))
    return queued | Q(status=Status.RUNNING, phase=Phase.JOIN, worker=None)


def held(token: int) -> Q:
    """The row, if the worker that got this token still holds it."""
    return Q(status=Status.RUNNING, token=token)


def held_and_wanted(token: int) -> Q:
    """The same, if nobody has asked the job to stop."""
    return held(token) & Q(cancel_requested_at=None)


def ended(status: Status) -> dict[str, Any]:
    """The columns of a job that ends now. Its row knows how long it is kept."""
    expires_at = ExpressionWrapper(Now() + F("result_lifetime"), output_field=DateTimeField())
    return {"status": status, "finished_at": Now(), "expires_at": expires_at}


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
    row of a divided job. Two other statements write many rows, in no order: `transitions.renew`
    and the DELETE of `maintenance/prune.py`.
    """
    return Job.objects.select_for_update().get(pk=parent_id)


def close_connections() -> None:
    """Close this thread's connections, for example after an outage."""
    with FORK_LOCK:
        connections.close_all()
