"""Blocked jobs: those that a `RunLimit` keeps from running now.

    inserted, tried again, or all parts succeeded --> blocked --> unblocked: due, with a place
                                                        ^                |
                                                        +--- any end of the attempt, a pause

A limited job is blocked whenever another job would become due. It becomes due only here, with the
number of a free place of its key. A unique constraint of the database keeps two jobs from the same
place. So there are never more jobs due or running than the limit has places, whatever dies. A job
holds its place until its attempt ends in any way: no job that waits for others holds one.

Whoever ends a limited job unblocks the next one, and whoever inserts one tries to. The maintenance
does once a second what they missed (`maintenance/unblock_limited.py`).
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain, count
from typing import Any

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from offload.jobs.declare import all_job_types
from offload.jobs.models import Job, RunLimitKey
from offload.jobs.priority import Priority
from offload.jobs.row_states import NOT_PAUSED
from offload.jobs.run_limit import SEPARATOR, RunLimit
from offload.jobs.transactions import bounded_transaction

# Rows that one call unblocks.
UNBLOCK_BATCH_ROWS = 100
# Blocked jobs of one key start in the order of their ranks. A job's rank is so much above that of
# its owner's last job, and so owners take turns; of a job of high priority they start four for each
# normal one, and of that four for each low one.
RANK_STEPS = {Priority.HIGH: 1, Priority.NORMAL: 4, Priority.LOW: 16}
# The keys that have blocked jobs. Each step of the recursion is one look into the index
# `offload_job_blocked`: 100,000 blocked jobs of one key cost two looks.
BLOCKED_KEYS = """
WITH RECURSIVE keys(limit_key) AS (
    SELECT MIN(limit_key) FROM offload_job WHERE unblock_at IS NOT NULL AND limit_key > %s
    UNION ALL
    SELECT (
        SELECT MIN(job.limit_key) FROM offload_job AS job
        WHERE job.unblock_at IS NOT NULL AND job.limit_key > keys.limit_key
    ) FROM keys WHERE keys.limit_key IS NOT NULL
)
SELECT limit_key FROM keys WHERE limit_key IS NOT NULL LIMIT %s
"""
# How many jobs of each key and owner are blocked, counted up to a bound. The order names the index
# `offload_job_owner_blocked`.
BLOCKED_COUNTS = """
WITH wanted(limit_key, owner) AS (VALUES {wanted})
SELECT limit_key, owner, (
    SELECT COUNT(*) FROM (
        SELECT 1 FROM offload_job AS job
        WHERE job.unblock_at IS NOT NULL
            AND job.limit_key = wanted.limit_key AND job.owner = wanted.owner
        ORDER BY job.priority, job.rank LIMIT {bound:d}
    ) AS counted
) FROM wanted
"""
# The rank of the last blocked job of each key, owner and priority, and that of the key's last
# unblocked job. One look into an index for each.
LAST_RANKS = """
WITH wanted(limit_key, owner, priority) AS (VALUES {wanted})
SELECT limit_key, owner, priority, (
    SELECT MAX(job.rank) FROM offload_job AS job
    WHERE job.unblock_at IS NOT NULL AND job.limit_key = wanted.limit_key
        AND job.owner = wanted.owner AND job.priority = wanted.priority
), (
    SELECT used.rank FROM offload_run_limit_key AS used WHERE used.key = wanted.limit_key
) FROM wanted
"""
# Keys that one of these two statements is about. A list of jobs may have thousands.
WANTED_BATCH = 500


def blocked_keys(count: int, after: str = "") -> list[str]:
    """The first `count` keys that have blocked jobs, in their order, after this one."""
    with connection.cursor() as cursor:
        cursor.execute(BLOCKED_KEYS, [after, count])
        return [key for (key,) in cursor.fetchall()]


def blocked(key: str) -> QuerySet[Job]:
    """The blocked jobs of a key, in their order."""
    rows = Job.objects.filter(limit_key=key, unblock_at__isnull=False)
    return rows.order_by("rank", "unblock_at")


def run_limits() -> dict[str, RunLimit]:
    """The limits that this process knows, by the first part of their keys."""
    declared = ((each.name, each.limits.run_limit) for each in all_job_types())
    return {limit.name or name: limit for name, limit in declared if limit is not None}


def limit_of(key: str) -> RunLimit | None:
    """The limit of a key; None where no job type declares it any more."""
    return run_limits().get(key.partition(SEPARATOR)[0])


def count_blocked(wanted: Iterable[tuple[str, str]], bound: int) -> dict[tuple[str, str], int]:
    """How many jobs are blocked, by key and owner. Counting ends at the bound."""
    rows = _of_each(BLOCKED_COUNTS, wanted, "(%s, %s)", bound=bound)
    return {(key, owner): count for key, owner, count in rows}


def give_ranks(jobs: Iterable[Job]) -> None:
    """Give the limited ones of new jobs their ranks among the blocked ones."""
    turns = [
        ((job.limit_key, job.owner, int(job.priority)), job)
        for job in jobs
        if job.limit_key is not None
    ]
    rows = _of_each(LAST_RANKS, {turn for turn, _ in turns}, "(%s, %s, CAST(%s AS integer))")
    last = {
        (key, owner, priority): max(waiting or 0, unblocked or 0)
        for key, owner, priority, waiting, unblocked in rows
    }
    for turn, job in turns:
        job.rank = last[turn] = last[turn] + RANK_STEPS[Priority(job.priority)]


def _of_each(
    statement: str, wanted: Iterable[tuple[Any, ...]], row: str, **values: int
) -> Iterator[tuple[Any, ...]]:
    """The rows of a statement about so many keys, asked in batches.

    Args:
        statement: with `{wanted}` for the list of keys.
        wanted: what the statement is about.
        row: the placeholders of one of them.
        values: further ones of the statement.
    """
    keys = list(wanted)
    for start in range(0, len(keys), WANTED_BATCH):
        batch = keys[start : start + WANTED_BATCH]
        rows = ", ".join([row] * len(batch))
        with connection.cursor() as cursor:
            cursor.execute(statement.format(wanted=rows, **values), list(chain(*batch)))
            yield from cursor.fetchall()


def unblock(key: str, wait: bool = True) -> list[Job]:
    """Make the next blocked jobs of a key due, as many as there is room for.

    Args:
        wait: for another process that unblocks jobs of this key, 2 seconds at most.

    Returns:
        The jobs that are due now and have no message.

    Raises:
        DatabaseError: the database refused, or that other process is very slow.
    """
    # A type that this process does not know may be known to another one.
    known = [job_type.name for job_type in all_job_types()]
    rows = blocked(key).filter(NOT_PAUSED, unblock_at__lte=Now(), kind__in=known)
    # `exists` would drop the order, and with it the index.
    if rows.values_list("pk", flat=True).first() is None:
        return []

    limit = limit_of(key)
    with bounded_transaction():
        # Without a limit any more, nobody needs the lock.
        state = _locked_state(key, wait) if limit is not None else RunLimitKey(key=key)
        return _unblock(rows, limit, state) if state is not None else []


def block_paused() -> None:
    """Block the due jobs that are paused: other jobs of their limits get their places."""
    paused = Job.objects.exclude(NOT_PAUSED).filter(place__isnull=False, due_at__isnull=False)
    if not paused.exists():
        return
    with bounded_transaction():
        unlocked = paused.select_for_update(skip_locked=True).order_by("pk").values("pk")
        paused.filter(pk__in=unlocked).update(
            due_at=None, unblock_at=F("due_at"), place=None, published_at=None
        )


def _locked_state(key: str, wait: bool) -> Any:
    """The key's row, locked, with the time; None where another process holds it."""
    RunLimitKey.objects.get_or_create(key=key)
    rows = RunLimitKey.objects.select_for_update(skip_locked=not wait)
    return rows.annotate(now=Now()).filter(key=key).first()


def _unblock(rows: QuerySet[Job], limit: RunLimit | None, state: Any) -> list[Job]:
    """Make the next blocked jobs of a key due, while the key's row is locked."""
    # In another transaction's statement a place may be free that this one still sees as taken.
    places = Job.objects.filter(limit_key=state.key, place__isnull=False)
    taken = dict(places.values_list("place", "due_at"))
    room, since = _room(limit, taken, state)
    # A locked row is being cancelled.
    next_rows = rows.select_for_update(skip_locked=True).defer(*Job.LARGE_FIELDS)
    jobs = list(next_rows[:room]) if room > 0 else []

    free = (place for place in count() if place not in taken)
    for job in jobs:
        job.place = next(free) if limit is not None else None
        job.due_at, job.unblock_at = Now(), None
    Job.objects.bulk_update(jobs, ["place", "due_at", "unblock_at"])

    if jobs and limit is not None:
        if since is not None:
            state.next_start_at = since + timedelta(seconds=len(jobs) * limit.interval)
        state.rank = max(state.rank, *(job.rank for job in jobs))
        state.used_at = Now()
        state.save()
    return jobs


def _room(limit: RunLimit | None, taken: dict[Any, Any], state: Any) -> tuple[int, Any]:
    """How many jobs may be unblocked, and the time from which their starts count."""
    room, since = UNBLOCK_BATCH_ROWS, None
    if limit is None:
        return room, since

    if limit.at_once is not None:
        room = min(room, limit.at_once - len(taken))
    if limit.rate is not None:
        # What is due has not started. It would start together as soon as workers are free.
        waiting = sum(due_at is not None for due_at in taken.values())
        starts, since = limit.starts_now(state.next_start_at, state.now)
        room = min(room, starts, limit.burst - waiting)
    return room, since
