"""Rescues the jobs of workers that no longer renew their leases."""

import logging
import time
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.models import Job, Status
from offload.jobs.notifier import EventPublisher
from offload.jobs.row_states import from_now
from offload.jobs.transactions import bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two steps of the maintenance that count as one observation. A longer gap means
# that this host was suspended, or the database stalled. A wait for the broker lasts 2 s at most.
MAX_OBSERVATION_GAP_SECONDS = 3.0
# Seconds. No lease is as long: one that ends later was given by a clock that was ahead.
FAR_SECONDS = 3600.0
# Rows that one run rescues.
RESCUE_BATCH_ROWS = 100


class Observation:
    """Since when this thread has run, and the database has answered, without a gap.

    A lease that ended while the database was down proves nothing: its worker could not renew it.
    The steps of one run may together take as long as they like, because each is noted.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._last_step = 0.0

    def step(self) -> None:
        """Note that a statement of the maintenance, or its wait for the broker, has just ended."""
        # The wall clock goes on while a laptop sleeps, the monotonic clock does not.
        wall = time.time()
        if self._since is None or wall - self._last_step > MAX_OBSERVATION_GAP_SECONDS:
            self._since = time.monotonic()
        self._last_step = wall

    def database_was_down(self) -> None:
        """Begin anew with the next read."""
        self._since = None

    def seconds(self) -> float:
        """How long the database has been observed; 0 after an outage."""
        return 0.0 if self._since is None else time.monotonic() - self._since


class RescueLost:
    """The duty: reclaim the jobs whose lease has ended."""

    def __init__(self, observation: Observation, events: EventPublisher) -> None:
        self._observation = observation
        self._events = events
        # The leases that end in a far future, as they were at the last look, and when that was.
        self._far: dict[UUID, datetime | None] = {}
        self._far_read_at = float("-inf")

    def run(self) -> None:
        """Reclaim lost jobs, if the database was observed for a whole lease."""
        lease = conf().lease
        if self._observation.seconds() < lease:
            return

        reason = f"worker lost: no sign of it for {lease:g} s"
        with FORK_LOCK:
            lost = list(_lost().values_list("pk", "parent")[:RESCUE_BATCH_ROWS])

        for job_id, parent_id in lost:
            # Other threads of this process use the database between two rows.
            with FORK_LOCK:
                self._rescue_alone(job_id, parent_id, reason)
            self._observation.step()

        if time.monotonic() - self._far_read_at > lease:
            with FORK_LOCK:
                self._end_far_leases()

    def _end_far_leases(self) -> None:
        """End the leases of lost jobs that a clock of the database gave that was ahead.

        It was put back, and they would end in hours or days. A worker that lives has renewed its
        own since the look before, by the right clock. The next run rescues the others.
        """
        far = Job.objects.filter(
            status=Status.RUNNING, lease_until__gt=from_now(FAR_SECONDS), worker__isnull=False
        )
        found = dict(far.values_list("pk", "lease_until"))
        unrenewed = [job_id for job_id, until in found.items() if self._far.get(job_id) == until]
        if unrenewed:
            with bounded_transaction():
                far.filter(pk__in=unrenewed).update(lease_until=Now())
        self._far, self._far_read_at = found, time.monotonic()

    def _rescue_alone(self, job_id: UUID, parent_id: UUID | None, reason: str) -> None:
        """Rescue one job. A fault of its row, or a lock on it, concerns no other row."""
        try:
            self._rescue(job_id, parent_id, reason)
        except Exception as error:
            if is_lock_conflict(error):
                logger.warning("job %s is lost, but its row is locked: trying again", job_id)
            elif isinstance(error, CONNECTION_ERRORS):
                raise
            else:
                logger.exception(
                    "job %s is lost and cannot be rescued, but others can: this is a bug", job_id
                )

    def _rescue(self, job_id: UUID, parent_id: UUID | None, reason: str) -> None:
        with bounded_transaction():
            # The order of locks: the parent, then its part. A locked row is left to the next run.
            if parent_id and not _unlocked(Job.objects.filter(pk=parent_id)):
                return
            # The lease is asked again under the lock: its worker may have renewed it meanwhile.
            job = _unlocked(_lost().filter(pk=job_id))
            rescued = transitions.reclaim(job, reason) if job is not None else None

        if job is None or rescued is None:
            return

        logger.warning(
            "job %s: %s, attempt %s of %s",
            job.pk,
            reason,
            job.attempts,
            job.max_attempts,
            extra=job.log_fields(),
        )
        self._events.publish(rescued)


def _lost() -> QuerySet[Job]:
    # `worker__isnull` is implied, and names the index.
    return Job.objects.filter(
        status=Status.RUNNING, lease_until__lt=Now(), worker__isnull=False
    ).order_by("lease_until")


def _unlocked(rows: QuerySet[Job]) -> Job | None:
    """Lock and return the first of these rows; None where there is none, or it is locked."""
    return rows.select_for_update(skip_locked=True).first()
