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

# Rows of one key that one call unblocks, and rows of all its keys together.
UNBLOCK_BATCH_ROWS = 100
UNBLOCK_TRANSACTION_ROWS = 500
# Where locked rows are passed over, only a new key may be waited for, which another process inserts
# at this moment. One that stands still may have inserted all keys of a transaction: the waits for
# them, one after the other, have to end before the leader's lead does.
NEW_KEY_TIMEOUT_SECONDS = 0.05
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


def unblock(*keys: str, wait: bool = True) -> list[Job]:
    """Make the next blocked jobs of some keys due, as many as there is room for.

    Args:
        keys: few, since all are unblocked in one transaction.
        wait: for another process that unblocks jobs of these keys, 2 seconds at most. Only with one
            key: two processes could wait for each other.

    Returns:
        The jobs that are due now and have no message.

    Raises:
        DatabaseError: the database refused, or that other process is very slow. A new key that it
            inserts is waited for in any case.
    """
    # A type that this process does not know may be known to another one.
    known = [job_type.name for job_type in all_job_types()]
    rows = {
        key: blocked(key).filter(NOT_PAUSED, unblock_at__lte=Now(), kind__in=known) for key in keys
    }
    # `exists` would drop the order, and with it the index.
    rows = {
        key: of_key
        for key, of_key in rows.items()
        if of_key.values_list("pk", flat=True).first() is not None
    }
    if not rows:
        return []
    with bounded_transaction(None if wait else NEW_KEY_TIMEOUT_SECONDS):
        return _unblock(rows, _locked_states(rows, wait))


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


def _locked_states(keys: Iterable[str], wait: bool) -> list[Any]:
    """The rows of the keys, locked, with the time, without those that another process holds.

    Without a limit any more, nobody needs the lock.
    """
    limited = sorted(key for key in keys if limit_of(key) is not None)
    RunLimitKey.objects.bulk_create(
        [RunLimitKey(key=key) for key in limited], ignore_conflicts=True
    )
    rows = RunLimitKey.objects.select_for_update(skip_locked=not wait)
    locked = list(rows.annotate(now=Now()).filter(key__in=limited))
    return locked + [RunLimitKey(key=key) for key in keys if key not in limited]


def _unblock(rows: dict[str, QuerySet[Job]], states: list[Any]) -> list[Job]:
    """Make the next blocked jobs of these keys due, while the keys' rows are locked."""
    # In another transaction's statement a place may be free that this one still sees as taken.
    places = Job.objects.filter(limit_key__in=[state.key for state in states])
    taken: dict[Any, dict[Any, Any]] = {state.key: {} for state in states}
    for key, place, due_at in places.filter(place__isnull=False).values_list(
        "limit_key", "place", "due_at"
    ):
        taken[key][place] = due_at

    jobs, used = [], []
    share = min(UNBLOCK_BATCH_ROWS, UNBLOCK_TRANSACTION_ROWS // len(rows))
    for state in states:
        found = _take_places(rows[state.key], taken[state.key], state, share)
        jobs += found
        if found and limit_of(state.key) is not None:
            used.append(state)

    Job.objects.bulk_update(jobs, ["place", "due_at", "unblock_at"])
    RunLimitKey.objects.bulk_update(used, ["next_start_at", "rank", "used_at"])
    return jobs


def _take_places(rows: QuerySet[Job], taken: dict[Any, Any], state: Any, most: int) -> list[Job]:
    """Give the next jobs of a key their places. They and the key's row are still to be saved."""
    limit = limit_of(state.key)
    room, since = _room(limit, taken, state)
    # A locked row is being cancelled.
    next_rows = rows.select_for_update(skip_locked=True).defer(*Job.LARGE_FIELDS)
    jobs = list(next_rows[: min(room, most)]) if room > 0 else []

    free = (place for place in count() if place not in taken)
    for job in jobs:
        job.place = next(free) if limit is not None else None
        job.due_at, job.unblock_at = Now(), None

    if jobs and limit is not None:
        if since is not None:
            state.next_start_at = since + timedelta(seconds=len(jobs) * limit.interval)
        state.rank = max(state.rank, *(job.rank for job in jobs))
        state.used_at = Now()
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
