"""Unblocks limited jobs where nobody else has done it.

A worker unblocks the next job when one has ended. It cannot where it died, where the job was
cancelled, and where a rate alone decides.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any

from django.db import OperationalError
from django.db.models import Count
from django.db.models.functions import Now

from offload.jobs.blocked import block_paused, blocked_keys, limit_of, unblock
from offload.jobs.database import FORK_LOCK
from offload.jobs.models import Job, RunLimitKey
from offload.jobs.relay import Broker, JobMessage
from offload.jobs.run_limit import SEPARATOR
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Keys that one run looks at.
KEYS_BATCH = 500
# Keys that one transaction is about. Meanwhile nobody else unblocks their jobs, and SQLite lets
# nobody else write.
TRANSACTION_KEYS = 25
# Then the other duties have their turn: the leader's lease is renewed between them.
RUN_SECONDS = 1.0


class UnblockLimited:
    """The duty: unblock the next jobs of every key that has room, and publish them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        # The last key of a run that left others to the next one.
        self._last_key = ""

    def run(self) -> None:
        """Unblock, for some hundred keys."""
        with FORK_LOCK:
            keys = self._next_keys()
            if keys:
                block_paused()
            full = _full(keys) if keys else set()

        until = time.monotonic() + RUN_SECONDS
        for start in range(0, len(keys), TRANSACTION_KEYS):
            batch = keys[start : start + TRANSACTION_KEYS]
            jobs = _unblock([key for key in batch if key not in full])
            self._broker.publish(JobMessage.of(job) for job in jobs)
            if time.monotonic() > until and batch[-1] != keys[-1]:
                self._last_key = batch[-1]
                return

    def _next_keys(self) -> list[str]:
        keys = blocked_keys(KEYS_BATCH, after=self._last_key)
        self._last_key = keys[-1] if len(keys) == KEYS_BATCH else ""
        return keys


def _unblock(keys: list[str]) -> list[Job]:
    """Unblock jobs of these keys: together, or one key after the other if one cannot be locked."""
    jobs = _unblock_together(keys)
    if jobs is not None:
        return jobs

    found = {key: _unblock_together([key]) for key in keys}
    if held := [key for key, jobs in found.items() if jobs is None]:
        # A key may hold what a parameter holds.
        names = sorted({key.partition(SEPARATOR)[0] for key in held})
        logger.warning(
            "another process holds up %d new keys of the limits %s: trying again",
            len(held),
            ", ".join(names),
        )
    return [job for jobs in found.values() for job in jobs or ()]


def _unblock_together(keys: list[str]) -> list[Job] | None:
    """Unblock jobs of these keys; None where another process holds up a new key."""
    try:
        with FORK_LOCK:
            return unblock(*keys, wait=False)
    except OperationalError as error:
        if not is_lock_conflict(error):
            raise
        return None


def _full(keys: Iterable[str]) -> set[str]:
    """The keys that have no room: all places are taken, or the next start is not yet."""
    later = RunLimitKey.objects.filter(next_start_at__gt=Now(), key__in=keys).annotate(now=Now())
    full = {state.key for state in later if _starts_later(state)}

    placed = Job.objects.filter(place__isnull=False).values("limit_key").order_by()
    counts: Any = placed.annotate(taken=Count("place")).values_list("limit_key", "taken")
    for key, taken in counts:
        limit = limit_of(key)
        if limit is not None and limit.at_once is not None and taken >= limit.at_once:
            full.add(key)
    return full


def _starts_later(state: Any) -> bool:
    """Whether a rate lets no job of a key start now. The time may be that of an earlier rate."""
    limit = limit_of(state.key)
    if limit is None or limit.rate is None:
        return False
    starts, _ = limit.starts_now(state.next_start_at, state.now)
    return not starts
