"""The states of jobs' rows: as conditions of a WHERE, and as the columns that an UPDATE sets.

Times are the database's (`from_now`), because the clocks of hosts differ.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import BooleanField, DateTimeField, ExpressionWrapper, F, Q, QuerySet, Value
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs.models import Job, Status, Worker

# As SQL, because each claim asks it: Django would spend some 0.2 ms on the two subqueries.
NOT_PAUSED = RawSQL(
    "kind NOT IN (SELECT kind FROM offload_pause)"
    " AND queue NOT IN (SELECT queue FROM offload_pause)",
    (),
    output_field=BooleanField(),
)
# As in the constraint `offload_job_unique`, with literals: SQLite uses its index for nothing else.
UNFINISHED = RawSQL("status IN ('queued', 'running')", (), output_field=BooleanField())
# The columns of a job that waits for no worker any more.
NOT_WAITING: dict[str, Any] = {"due_at": None, "start_before": None}
# The columns of a row that no worker holds.
UNHELD: dict[str, Any] = {"worker": None, "pid": None, "lease_until": None}
# Attempts that a row keeps, the last ones.
MAX_PAST_ATTEMPTS = 20
# Characters of a reason. The owner sees the whole sentence in `error`, until the next attempt.
MAX_REASON_LENGTH = 300


def from_now(seconds: float) -> Combinable:
    """The database's clock plus `seconds`."""
    return ExpressionWrapper(
        Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField()
    )


def is_over(column: str, longest: float) -> Q:
    """Rows whose time in this column has come.

    A time that is farther away than it was ever set is from a clock of the database that was ahead,
    and was put back. It is over, too: nobody waits until that clock is right again.

    Args:
        longest: seconds. No version of the service sets the time farther from its now.
    """
    come = Q(**{f"{column}__lte": Now()})
    return come | Q(**{f"{column}__gt": from_now(longest)})


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


def unfinished_with(unique_keys: Sequence[str | None]) -> QuerySet[Job]:
    """The unfinished jobs with these unique keys: at most one for each."""
    return Job.objects.filter(UNFINISHED, unique_key__in=unique_keys).order_by()


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


def with_attempt(job: Job, reason: str) -> list[dict[str, Any]]:
    """The column `past_attempts` with the attempt that this row has come to, for operators.

    It is written in the UPDATE that queues the job again: it costs no statement, and a job that
    succeeds at once writes nothing.

    Args:
        job: the row as its holder read it.
        reason: why the attempt did not end the job, or was not the last one after all.
    """
    attempt = {
        "number": job.attempts,
        "due_at": _text(job.was_due_at),
        "claimed_at": _text(job.claimed_at),
        "worker": str(job.worker) if job.worker else None,
        "reason": reason[:MAX_REASON_LENGTH],
    }
    return [*(job.past_attempts or []), attempt][-MAX_PAST_ATTEMPTS:]


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
