"""The leading relay's duties: settle lost leases, find rows without a ring, delete what has
expired.
"""

import contextlib
import logging
import time
from datetime import datetime
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import events, kinds, transitions
from offload.jobs.models import Job, Leader, Status, Worker
from offload.jobs.rows import new_row

log = logging.getLogger("offload.jobs")

# Seconds the lead lasts without renewal: how long nobody sweeps after a leader's death.
LEAD = 5.0
# Seconds between two looks that count as "out of sight": a suspended host or a stalled database.
GAP = 3.0
# Seconds between purges.
PURGE_EVERY = 60.0
# Rows a purge: a long DELETE would hold SQLite's one write lock.
PURGE_BATCH = 500


def silence() -> float:
    """Seconds after which a worker counts as gone."""
    return conf().worker_silence


class Sweeper:
    """State of one relay's sweeping: whether it leads, and since when it has reached the database
    without a gap.
    """

    def __init__(self, holder: UUID) -> None:
        self._holder = holder
        self._sight_since: float | None = None
        self._last_look = 0.0
        self._renew_at = 0.0
        self._leading = False
        self._purge_at = 0.0
        self._fired: dict[str, int] = {}

    def lead(self) -> bool:
        """Take or keep the lead; False while another relay holds it."""
        now, wall = time.monotonic(), time.time()
        # Wall clock: it goes on while a laptop sleeps.
        if self._sight_since is None or wall - self._last_look > GAP:
            self._sight_since = now
        self._last_look = wall
        if now >= self._renew_at:
            self._leading = self._acquire()
            self._renew_at = now + (LEAD / 2 if self._leading else 1.0)
        return self._leading

    def lost_sight(self) -> None:
        """The database did not answer: leases that ran out meanwhile may have been renewable no
        more than mine.
        """
        self._sight_since = None
        self._renew_at = 0.0

    def _acquire(self) -> bool:
        mine_or_free = Q(holder=self._holder) | Q(until__lt=Now())
        terms = {"holder": self._holder, "until": transitions.from_now(LEAD)}
        if Leader.objects.filter(mine_or_free, name="relay").update(**terms):
            return True
        if Leader.objects.filter(name="relay").exists():
            return False
        try:
            with transaction.atomic():
                Leader.objects.create(name="relay", **terms)
        except IntegrityError:
            return False
        return True

    def settle_lost(self) -> None:
        """Give back the jobs of workers that stopped renewing, if I have watched the database all
        that while.
        """
        lease = conf().lease
        if self._sight_since is None or time.monotonic() - self._sight_since < lease:
            return
        lost = Job.objects.filter(status=Status.RUNNING, lease_until__lt=Now())
        for job in lost[:100]:
            reason = f"worker lost: no sign of it for {lease:g} s"
            settled = transitions.lose(job, reason, conf().result_lifetime)
            if settled is not None:
                told = "job %s: %s, attempt %s of %s"
                log.warning(told, job.pk, reason, job.attempts, job.max_attempts, extra=job.facts())
                events.publish(settled)

    def oldest_unrung(self, queue: str, count: int) -> list[Job]:
        """Up to `count` due rows of a queue, oldest first; rows a moment old are left to the relay
        that made them.
        """
        rows = Job.objects.filter(
            transitions.due(), queue=queue, created_at__lt=transitions.from_now(-0.5)
        )
        return list(rows.order_by("created_at").only("pk", "kind", "queue")[:count])

    def fire_schedules(self) -> None:
        """Submit what is due by its `every`: the tick is an idempotency key, so that it fires once
        in all processes.
        """
        now: datetime = Leader.objects.values_list(Now(), flat=True)[0]
        for kind in kinds.all_kinds():
            tick = int(now.timestamp() // kind.every) if kind.every else 0
            if not kind.every or self._fired.get(kind.kind) == tick:
                continue
            row = new_row(kind, kind.params(), "schedule", idempotency_key=f"tick-{tick}")
            with contextlib.suppress(IntegrityError), transaction.atomic():
                row.save(force_insert=True)
            self._fired[kind.kind] = tick

    def purge(self) -> None:
        """Delete a batch of expired jobs with their stored results, and workers long gone."""
        if time.monotonic() < self._purge_at:
            return
        expired = list(
            Job.objects.filter(expires_at__lt=Now()).values_list("pk", "result_file")[:PURGE_BATCH]
        )
        for _, name in expired:
            if name:
                default_storage.delete(name)
        Job.objects.filter(pk__in=[pk for pk, _ in expired]).delete()
        Worker.objects.filter(seen_at__lt=transitions.from_now(-86400.0)).delete()
        self._purge_at = time.monotonic() + (PURGE_EVERY if len(expired) < PURGE_BATCH else 1.0)
