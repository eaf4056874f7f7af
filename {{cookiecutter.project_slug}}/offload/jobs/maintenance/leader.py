"""Which process does the maintenance: one at a time, by a lease in the database."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from offload.jobs.maintenance.database_clock import DatabaseClock
from offload.jobs.models import Leader
from offload.jobs.row_states import from_now, is_over
from offload.jobs.stats import JobStats
from offload.jobs.transactions import retry_conflicts

# Seconds that the lead lasts without renewal: so long nobody does the maintenance after a leader's
# death.
LEADER_LEASE_SECONDS = 5.0
# A leader renews the lead between two duties where this many seconds have passed.
RENEWAL_INTERVAL_SECONDS = LEADER_LEASE_SECONDS / 2
# A process that does not lead reads the row once in this time, so that the idle statements of a
# service hardly grow with its processes. What it knows of queues may be older by this, and a lead
# that ended is taken later by this.
FOLLOWER_INTERVAL_SECONDS = LEADER_LEASE_SECONDS / 2

# The name of the one row.
NAME = "relay"


class LeadLost(Exception):
    """Another process has taken the lead over; it does the remaining duties."""


class Leadership:
    """Whether this process leads. A process that does not lead only reads the row, now and then.

    Args:
        holder: this process's id.
    """

    def __init__(self, holder: UUID) -> None:
        self._holder = holder
        self._renewed_at = 0.0
        self._follows_until = 0.0
        # Read at each `hold`.
        self.clock = DatabaseClock()

    def is_due(self) -> bool:
        """Whether `hold` is to be called now: always where this process leads."""
        return time.monotonic() >= self._follows_until

    def hold(self, reaches_broker: bool, stats: JobStats) -> bool:
        """Read the leader's row, and take the lead if it is free. False while another leads.

        Three cases in which this process leads afterwards:
        1. It leads already.
        2. The lease of the other process has ended, or ends later than it can: the database's clock
           was ahead, and was put back.
        3. The other process does not reach the broker, and this one does.

        Args:
            reaches_broker: whether this process's connection to the broker works.
            stats: get the database's time, and what the leader wrote where this process does not
                lead.
        """
        asked_at, began = timezone.now(), time.monotonic()
        rows = Leader.objects.filter(name=NAME).annotate(now=Now())
        row: Any = rows.first() or self._first_election()
        if row is None:
            return False
        stats.read_clock(row.now, asked_at)
        self.clock.read(row.now, began, time.monotonic())

        mine = row.holder == self._holder
        if mine and row.until > row.now and row.reaches_broker == reaches_broker:
            return True
        lasts = row.until - row.now
        ended = lasts <= timedelta(0) or lasts > timedelta(seconds=_longest_lead())
        free = ended or (reaches_broker and not row.reaches_broker)
        if (mine or free) and self._acquire(reaches_broker):
            return True

        self._follows_until = time.monotonic() + FOLLOWER_INTERVAL_SECONDS
        if row.stats_at is not None:
            stats.load(row.stats, age=(row.now - row.stats_at).total_seconds())
        return False

    def publish_stats(self, document: dict[str, Any]) -> None:
        """Write the stats for the other processes, and renew the lead.

        Raises:
            LeadLost: another process leads.
        """
        self._renew(stats=document, stats_at=Now())

    def renew(self) -> None:
        """Renew the lead between two duties, where that is due.

        Raises:
            LeadLost: another process leads.
        """
        if time.monotonic() - self._renewed_at > RENEWAL_INTERVAL_SECONDS:
            self._renew()

    def _renew(self, **values: Any) -> None:
        # No transaction: nobody holds a lock of this row for longer than one statement.
        mine = Leader.objects.filter(name=NAME, holder=self._holder)
        until = from_now(LEADER_LEASE_SECONDS)
        if not retry_conflicts(lambda: mine.update(until=until, **values)):
            raise LeadLost
        self._renewed_at = time.monotonic()

    def _acquire(self, reaches_broker: bool) -> bool:
        obtainable = Q(holder=self._holder) | is_over("until", _longest_lead())
        if reaches_broker:
            obtainable |= Q(reaches_broker=False)

        lead = {
            "holder": self._holder,
            "until": from_now(LEADER_LEASE_SECONDS),
            "reaches_broker": reaches_broker,
        }
        free = Leader.objects.filter(obtainable, name=NAME)
        acquired = retry_conflicts(lambda: free.update(**lead))
        self._renewed_at = time.monotonic()
        return bool(acquired)

    def _first_election(self) -> Any:
        """Insert the row, in the first election of all. None where another process was faster."""
        try:
            with transaction.atomic():
                Leader.objects.create(name=NAME, holder=self._holder, until=Now())
        except IntegrityError:
            return None
        return Leader.objects.filter(name=NAME).annotate(now=Now()).first()


def _longest_lead() -> float:
    """Seconds. A lead that lasts longer was taken by another clock.

    Twice a lease: the row may be renewed between the begin of a statement, whose time is its now,
    and the moment at which it reads the row.
    """
    return 2 * LEADER_LEASE_SECONDS
