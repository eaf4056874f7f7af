"""Notices that the database's clock was put forward or back, and corrects what it gave.

What has happened cannot be to come. A job would wait until the clock is as far again, and a worker
that has ended would count as a running one for as long. `rescue_lost.py` does the same for leases,
`leader.py` for the lead, `enqueue_periodic.py` for schedules, and `run_limit.py` for rates.
"""

import logging
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from offload.jobs.database import FORK_LOCK
from offload.jobs.declare import all_job_types
from offload.jobs.models import Job, Worker
from offload.jobs.row_states import from_now
from offload.jobs.transactions import bounded_transaction

logger = logging.getLogger("offload.jobs")

# Seconds. A clock that is corrected by less moves no lease over its end.
MIN_STEP_SECONDS = 1.0
# Seconds. A time that is less ahead may have been written a moment ago, by a later statement.
MIN_LEAD_SECONDS = 10.0
# Rows that one statement corrects. The next ones follow in the next run, a second later.
CORRECT_BATCH_ROWS = 1000


class _Reading(NamedTuple):
    """What the clock said, between two times of `time.monotonic()`."""

    now: datetime
    asked_at: float
    answered_at: float


class DatabaseClock:
    """The database's clock, held against this process's monotonic one at each reading."""

    def __init__(self) -> None:
        # By how many seconds it was put forward since `take_step`; negative where it was put back.
        self.step = 0.0
        self._last: _Reading | None = None

    def read(self, now: datetime, asked_at: float, answered_at: float) -> None:
        """Note what the clock says.

        Args:
            asked_at: `time.monotonic()` before the statement that read it.
            answered_at: the same after it.
        """
        last, self._last = self._last, _Reading(now, asked_at, answered_at)
        if last is None:
            return
        # The moments of the two answers are known no better than this.
        went = (now - last.now).total_seconds()
        step = max(went - (answered_at - last.asked_at), 0.0)
        step += min(went - (asked_at - last.answered_at), 0.0)
        if abs(step) > MIN_STEP_SECONDS:
            self.step += step

    def take_step(self) -> float:
        """The step since the last call; 0 where the clock was not put, as far as can be told."""
        step, self.step = self.step, 0.0
        return step


class CorrectTimes:
    """The duty: correct what a clock gave while it was ahead, once it was put back.

    It looks at the begin of a lead, too.
    """

    def __init__(self) -> None:
        self._is_due = True

    def clock_was_put_back(self) -> None:
        """Correct times at the next run."""
        self._is_due = True

    def run(self) -> None:
        """Correct a batch of each kind of times, until there are no more."""
        if not self._is_due:
            return

        ahead = from_now(MIN_LEAD_SECONDS)
        with FORK_LOCK:
            workers = Worker.objects.filter(seen_at__gt=ahead)
            if workers.exists():
                workers.update(seen_at=Now())

        # In the order of an index, or in none: in any other, SQLite reads the whole table.
        jobs = Job.objects.order_by()
        held = jobs.filter(worker__isnull=False)
        waiting = jobs.filter(due_at__isnull=False)
        blocked = jobs.filter(unblock_at__isnull=False).order_by("limit_key", "rank")
        corrected = (
            _correct(held.filter(cancel_requested_at__gt=ahead), cancel_requested_at=Now())
            + _correct(waiting.filter(_is_late("due_at")), due_at=Now(), published_at=None)
            + _correct(waiting.filter(published_at__gt=ahead), published_at=Now())
            + _correct(blocked.filter(_is_late("unblock_at")), unblock_at=Now())
        )
        self._is_due = corrected > 0
        if corrected:
            logger.warning(
                "the database's clock was put back: %s jobs had times that were still to come, "
                "and go on now",
                corrected,
            )


def _is_late(column: str) -> Q:
    """Jobs whose time is to come and should not be. Three cases:

    1. Nobody has begun the job, and it was due when it was submitted. The time of one that is
       planned for later (`run_at`) is that of its caller.
    2. It has a limit, which has let it become due.
    3. It waits for another attempt, longer than its type lets it wait.
    """
    ahead = from_now(MIN_LEAD_SECONDS)
    late = Q(token=0, created_at__gt=ahead, **{f"{column}__lte": F("created_at")})
    if column == "due_at":
        late |= Q(limit_key__isnull=False)

    kinds = defaultdict(list)
    for job_type in all_job_types():
        kinds[job_type.limits.retry_delay_max].append(job_type.name)
    for delay, names in kinds.items():
        far = from_now(delay + MIN_LEAD_SECONDS)
        late |= Q(token__gt=0, kind__in=names, **{f"{column}__gt": far})
    return late & Q(**{f"{column}__gt": ahead})


def _correct(rows: QuerySet[Job], **values: Any) -> int:
    """Correct the first of these rows that nobody has locked. Returns how many."""
    with FORK_LOCK, bounded_transaction():
        unlocked = rows.select_for_update(skip_locked=True)
        found = list(unlocked.values_list("pk", flat=True)[:CORRECT_BATCH_ROWS])
        if found:
            Job.objects.filter(pk__in=found).update(**values)
    return len(found)
