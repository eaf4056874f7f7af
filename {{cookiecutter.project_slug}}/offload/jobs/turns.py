"""Submits that count an owner's waiting jobs take turns (PostgreSQL; SQLite has one writer).

Without turns, as many jobs would pass a bound as are submitted at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection

from offload.jobs.job_type import JobType
from offload.jobs.transactions import bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict
from offload.problems import Problem

# Until the end of the transaction.
LOCK_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
# A submit waits this long for its turn: less than a statement may take, and longer than 32 submits
# at once on a busy machine, which took 1.2 s.
TURN_TIMEOUT_SECONDS = 5.0
# A process that stands still in its turn keeps it until the server ends its session, by default
# after 60 s (`idle_in_transaction_session_timeout`).
TURN_RETRY_AFTER_SECONDS = 5


@contextmanager
def turn_to_submit(job_type: JobType[Any, Any], owner: str, is_planned: bool) -> Iterator[None]:
    """A transaction that counts an owner's waiting jobs and adds to them: one at a time.

    Jobs without a bound of their own have no turns. Other owners do not wait. In a caller's own
    transaction there are no turns, because it may last, and two of them could wait for each other.

    Args:
        job_type: of the new jobs.
        owner: of the new jobs.
        is_planned: whether they are for a later time.

    Raises:
        Problem: 503 with a `Retry-After`, its turn did not come within 5 s.
    """
    names = _names(job_type, owner, is_planned)
    if not names or connection.in_atomic_block:
        yield
        return

    # SQLite's one writer is this transaction, from its begin on.
    with bounded_transaction(TURN_TIMEOUT_SECONDS):
        if connection.vendor == "postgresql":
            _wait(names, owner)
        yield


def _names(job_type: JobType[Any, Any], owner: str, is_planned: bool) -> list[str]:
    """What is locked, always in this order. Job types that share a limit share its turns."""
    queue, limit = job_type.limits.queue, job_type.limits.run_limit
    names = [f"plan {queue} {owner}"] if is_planned else []
    if limit is not None:
        names.append(f"limit {limit.name or job_type.name} {owner}")
    return names


def _wait(names: Sequence[str], owner: str) -> None:
    try:
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(LOCK_TURN, [name])
    except OperationalError as error:
        if not is_lock_conflict(error):
            raise
        raise Problem(
            503,
            f"other requests of {owner!r} submit jobs at this moment: try again in "
            f"{TURN_RETRY_AFTER_SECONDS} s",
            headers={"Retry-After": str(TURN_RETRY_AFTER_SECONDS)},
        ) from error
