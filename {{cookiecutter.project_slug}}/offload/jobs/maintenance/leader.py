"""Which process does the maintenance: one at a time, by a lease in the database."""

import time
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from offload.jobs.database import from_now
from offload.jobs.models import Leader

# Seconds that the lead lasts without renewal: so long nobody does the maintenance after a leader's
# death.
LEADER_LEASE_SECONDS = 5.0
# Seconds after which a process that does not lead tries again.
ELECTION_INTERVAL_SECONDS = 1.0

# The name of the one row.
NAME = "relay"


class Leadership:
    """Whether this process leads.

    Args:
        holder: this process's id.
    """

    def __init__(self, holder: UUID) -> None:
        self._holder = holder
        self._leading = False
        self._renew_at = 0.0

    def hold(self) -> bool:
        """Take or renew the lead, where that is due. False while another process leads."""
        now = time.monotonic()
        if now >= self._renew_at:
            self._leading = self._acquire()
            wait = LEADER_LEASE_SECONDS / 2 if self._leading else ELECTION_INTERVAL_SECONDS
            self._renew_at = now + wait
        return self._leading

    def forget(self) -> None:
        """The database was down: ask again at the next look."""
        self._renew_at = 0.0

    def _acquire(self) -> bool:
        mine_or_free = Q(holder=self._holder) | Q(until__lt=Now())
        terms = {"holder": self._holder, "until": from_now(LEADER_LEASE_SECONDS)}

        if Leader.objects.filter(mine_or_free, name=NAME).update(**terms):
            return True
        if Leader.objects.filter(name=NAME).exists():
            return False

        # The first election of all.
        try:
            with transaction.atomic():
                Leader.objects.create(name=NAME, **terms)
        except IntegrityError:
            return False
        return True
