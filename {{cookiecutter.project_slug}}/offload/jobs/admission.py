"""Refuses new jobs, and retries, where too many wait: from stats or by counting."""

import math
import random
from collections import Counter

from offload.conf import conf
from offload.jobs.blocked import count_blocked, give_ranks
from offload.jobs.models import Job
from offload.jobs.planned import admit_planned
from offload.jobs.services import services
from offload.jobs.stats import QueueStats
from offload.problems import Problem

# Bounds of `Retry-After`, in seconds. The larger one is also the answer where nothing has ended.
MIN_QUEUE_RETRY_AFTER_SECONDS = 1.0
MAX_QUEUE_RETRY_AFTER_SECONDS = 60.0


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


def _admit(queue: str, owner: str, count: int) -> None:
    depth = conf().queue_depth
    if count > depth:
        raise Problem(422, f"{count} jobs at once, of which a queue holds {depth}: submit fewer")

    _admit_owner(queue, owner)
    stats = services.stats.queues.get(queue, QueueStats())
    too_old = stats.age >= conf().queue_age
    excess = stats.depth + count - depth
    if excess <= 0 and not too_old:
        return

    knows_when = stats.drain and not too_old
    wait = excess / stats.drain if knows_when else MAX_QUEUE_RETRY_AFTER_SECONDS
    wait = min(max(wait, MIN_QUEUE_RETRY_AFTER_SECONDS), MAX_QUEUE_RETRY_AFTER_SECONDS)

    # Up to 20 % more, so that refused callers do not come back together.
    retry_after = math.ceil(wait * random.uniform(1.0, 1.2))
    raise Problem(
        503,
        f"the queue {queue!r} holds {stats.depth} jobs, the oldest for {stats.age:.0f} s: "
        f"try again in {retry_after} s",
        headers={"Retry-After": str(retry_after)},
    )


def admit_retry(job: Job) -> None:
    """Refuse to queue an owner's job again where a new one would be refused.

    Cancelled jobs count for no limit until then: without this an owner could collect any number of
    them, and fill the queue by retries.

    Raises:
        Problem: as `admit` and `_admit_blocked`.
    """
    _admit(job.queue, job.owner, 1)
    _admit_blocked([job])


def _admit_owner(queue: str, owner: str) -> None:
    """Refuse the jobs of an owner who has `conf().jobs_per_owner` waiting in the queue.

    Raises:
        Problem: 429, with a `Retry-After`.
    """
    if owner in services.stats.full_owners.get(queue, ()):
        raise Problem(
            429,
            f"{conf().jobs_per_owner} of your jobs wait in the queue {queue!r}, which is the "
            f"limit: try again in {MAX_QUEUE_RETRY_AFTER_SECONDS:g} s, or cancel some",
            headers={"Retry-After": f"{MAX_QUEUE_RETRY_AFTER_SECONDS:g}"},
        )


def admit_waiting(jobs: list[Job], is_planned: bool) -> None:
    """Refuse jobs for later, and limited ones, where too many wait. Give limited ones their ranks.

    Raises:
        Problem: as `admit_planned` and `_admit_blocked`.
    """
    if is_planned and jobs:
        admit_planned(jobs)
    _admit_blocked(jobs)
    give_ranks(jobs)


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
        raise Problem(
            503,
            f"{bound} of your jobs wait for the same limit: try again in "
            f"{MAX_QUEUE_RETRY_AFTER_SECONDS:g} s",
            headers={"Retry-After": f"{MAX_QUEUE_RETRY_AFTER_SECONDS:g}"},
        )
