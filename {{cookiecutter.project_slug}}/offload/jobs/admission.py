"""Refuses new jobs, and retries, where too many wait: from stats or by counting.

What is counted: jobs for a later time (`run_at`), and those that a limit blocks. They count neither
for the depth of their queue nor for the due jobs of their owner. Without bounds of their own a
caller could plan a million jobs for next year, which would all become due at once. Submits that
count take turns (PostgreSQL; SQLite has one writer): else as many jobs would pass a bound as are
submitted at once.
"""

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection
from django.db.models import Q
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs.blocked import count_blocked, give_ranks
from offload.jobs.job_type import JobType
from offload.jobs.models import Job, Status
from offload.jobs.services import services
from offload.jobs.stats import QueueStats
from offload.jobs.transactions import bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict
from offload.problems import Problem

# Bounds of `Retry-After`, in seconds. The larger one is also the answer where nobody knows when it
# will be better: nothing has ended, or it takes a cancel.
MIN_RETRY_AFTER_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 60.0

# The lock of a turn, until the end of the transaction.
LOCK_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
# A submit waits this long for its turn: less than a statement may take, and longer than 32 submits
# at once on a busy machine, which took 1.2 s.
TURN_TIMEOUT_SECONDS = 5.0
# A process that stands still in its turn keeps it until the server ends its session, by default
# after 60 s (`idle_in_transaction_session_timeout`).
TURN_RETRY_AFTER_SECONDS = 5.0


def admit(queue: str, owner: str, count: int = 1) -> None:
    """Refuse jobs that would wait too long, from stats that are a second or two old.

    Args:
        queue: the queue of the jobs.
        owner: whose jobs they are.
        count: how many there are.

    Raises:
        ValueError: the owner has no name, so nobody would see the jobs.
        Problem: 422, no queue holds so many jobs. With a `Retry-After`: 429, too many jobs of the
            owner wait in the queue; 503, the queue is too deep, or its oldest job is too old. For a
            deep queue the time follows from its drain rate. For an old one, and for an owner, it is
            the longest one, because nobody knows when workers take these jobs.
            (AWS Builders' Library, "Avoiding insurmountable queue backlogs": refuse early, by age.)
    """
    if not owner:
        raise ValueError(
            "a job has an owner, and this name is empty: that of a visitor who has not logged in "
            "is, so the page needs @login_required"
        )
    _admit(queue, owner, count)


def admit_retry(job: Job) -> None:
    """Refuse to queue an owner's job again where a new one would be refused.

    Cancelled jobs count for no limit until then: without this an owner could collect any number of
    them, and fill the queue by retries.

    Raises:
        Problem: as `admit` and `_admit_blocked`.
    """
    _admit(job.queue, job.owner, 1)
    _admit_blocked([job])


def admit_waiting(jobs: list[Job], is_planned: bool) -> None:
    """Refuse jobs for later, and limited ones, where too many wait. Give limited ones their ranks.

    Raises:
        Problem: as `_admit_planned` and `_admit_blocked`.
    """
    if is_planned and jobs:
        _admit_planned(jobs)
    _admit_blocked(jobs)
    give_ranks(jobs)


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
    queue, limit = job_type.limits.queue, job_type.limits.run_limit
    # What is locked, always in this order. Job types that share a limit share its turns.
    names = [f"plan {queue} {owner}"] if is_planned else []
    if limit is not None:
        names.append(f"limit {limit.name or job_type.name} {owner}")
    if not names or connection.in_atomic_block:
        yield
        return

    # SQLite's one writer is this transaction, from its begin on.
    with bounded_transaction(TURN_TIMEOUT_SECONDS):
        if connection.vendor == "postgresql":
            _wait_for_turn(names, owner)
        yield


def _wait_for_turn(names: list[str], owner: str) -> None:
    try:
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(LOCK_TURN, [name])
    except OperationalError as error:
        if not is_lock_conflict(error):
            raise
        why = f"other requests of {owner!r} submit jobs at this moment"
        raise _try_again(503, why, TURN_RETRY_AFTER_SECONDS) from error


def _admit(queue: str, owner: str, count: int) -> None:
    depth = conf().queue_depth
    if count > depth:
        raise Problem(422, f"{count} jobs at once, of which a queue holds {depth}: submit fewer")

    if owner in services.stats.full_owners.get(queue, ()):
        why = (
            f"{conf().jobs_per_owner} of your jobs wait in the queue {queue!r}, which is the limit"
        )
        raise _try_again(429, why, instead="cancel some")

    stats = services.stats.queues.get(queue, QueueStats())
    too_old = stats.age >= conf().queue_age
    excess = stats.depth + count - depth
    if excess <= 0 and not too_old:
        return

    knows_when = stats.drain and not too_old
    wait = excess / stats.drain if knows_when else MAX_RETRY_AFTER_SECONDS
    wait = min(max(wait, MIN_RETRY_AFTER_SECONDS), MAX_RETRY_AFTER_SECONDS)
    why = f"the queue {queue!r} holds {stats.depth} jobs, the oldest for {stats.age:.0f} s"
    # Up to 20 % more, so that refused callers do not come back together.
    raise _try_again(503, why, math.ceil(wait * random.uniform(1.0, 1.2)))


def _admit_planned(jobs: list[Job]) -> None:
    """Refuse new jobs with a `run_at` where too many wait for theirs.

    Args:
        jobs: unsaved rows of one queue and owner.

    Raises:
        Problem: with a `Retry-After`. 429, `conf().jobs_per_owner` jobs of the owner in this queue,
            counted now, without parts; 503, `conf().planned_depth` jobs of all owners, as the
            leader last counted.
    """
    queue, owner, limit = jobs[0].queue, jobs[0].owner, conf().jobs_per_owner
    later = Q(due_at__gt=Now()) | Q(unblock_at__gt=Now())
    # The conditions on `number` and `finished_at` name the index `offload_job_unfinished`.
    theirs = Job.objects.filter(
        later, owner=owner, number=0, finished_at__isnull=True, status=Status.QUEUED, queue=queue
    )
    # Counting ends at the bound. OFFSET of a negative number is an error.
    room = limit - len(jobs)
    if limit and (room < 0 or theirs.order_by().values_list("pk")[room : room + 1]):
        why = f"{limit} of your jobs wait in the queue {queue!r} for a later time"
        raise _try_again(429, f"{why}, which is the limit", instead="cancel some")

    planned = services.stats.planned.get(queue, 0)
    if planned + len(jobs) > conf().planned_depth:
        why = f"{planned} jobs wait in the queue {queue!r} for a later time, which is the limit"
        raise _try_again(503, why, instead="submit it later")


def _admit_blocked(jobs: list[Job]) -> None:
    """Refuse limited jobs where the same limit blocks too many of their owner's jobs.

    Too many are as many as a queue may hold. Other owners' jobs do not count: owners take turns.

    Raises:
        Problem: 503, with a `Retry-After`.
    """
    bound = conf().queue_depth
    new = Counter((job.limit_key, job.owner) for job in jobs if job.limit_key is not None)
    waiting = count_blocked(new, bound)
    if any(count + waiting[each] > bound for each, count in new.items()):
        raise _try_again(503, f"{bound} of your jobs wait for the same limit")


def _try_again(
    status: int, why: str, seconds: float = MAX_RETRY_AFTER_SECONDS, instead: str = ""
) -> Problem:
    text = f"{why}: try again in {seconds:g} s" + (f", or {instead}" if instead else "")
    return Problem(status, text, headers={"Retry-After": f"{seconds:g}"})
