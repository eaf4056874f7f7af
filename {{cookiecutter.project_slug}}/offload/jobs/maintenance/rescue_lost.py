"""Rescues the jobs of workers that no longer renew their leases."""

import logging
import time
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.events import EventPublisher
from offload.jobs.maintenance.database_clock import DatabaseClock
from offload.jobs.models import Job, Status
from offload.jobs.row_states import from_now
from offload.jobs.transactions import bounded_transaction, jobs_can_be_written
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
    """Since when this thread has run, and leases could be renewed, without a gap.

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

    def begin_anew(self) -> None:
        """Begin with the next step: until now leases could not be renewed, or ended too early."""
        self._since = None

    def seconds(self) -> float:
        """How long that has been so; 0 after an outage."""
        return 0.0 if self._since is None else time.monotonic() - self._since


class RescueLost:
    """The duty: reclaim the jobs whose lease has ended."""

    def __init__(
        self, observation: Observation, events: EventPublisher, clock: DatabaseClock | None = None
    ) -> None:
        self._observation = observation
        self._events = events
        self._clock = clock or DatabaseClock()
        # Lost jobs whose rows another transaction holds, at the last look and at this one.
        self._were_locked: set[UUID] = set()
        self._are_locked: set[UUID] = set()
        # Whether the table could be written at the last look: a lock on it is logged once.
        self._can_be_written = True
        # The leases that end in a far future, as they were at the last look, and when that was.
        self._far: dict[UUID, datetime | None] = {}
        self._far_read_at = float("-inf")

    def run(self) -> None:
        """Reclaim lost jobs, if leases could be renewed for the time that one lasts."""
        lease = conf().lease
        # Before that it proves nothing.
        if self._observation.seconds() < lease * 2 / 3:
            return
        with FORK_LOCK:
            lost = self._look()
        if self._observation.seconds() < lease:
            return

        reason = f"worker lost: no sign of it for {lease:g} s"
        self._were_locked, self._are_locked = self._are_locked, set()
        for job_id, parent_id in lost:
            # Other threads of this process use the database between two rows.
            with FORK_LOCK:
                self._rescue_alone(job_id, parent_id, reason)
            self._observation.step()

        if time.monotonic() - self._far_read_at > lease:
            with FORK_LOCK:
                self._end_far_leases()

    def _look(self) -> list[tuple[UUID, UUID | None]]:
        """The next lost jobs, with their parents. Begin the observation anew if they prove nothing.

        A lease is renewed three times in the time that it lasts. Where two renewals are missing,
        nobody may have been able to write. That is asked for a third of a lease before one counts
        as lost, so that each worker has that time after the end of such a lock.
        """
        late = _held_until(from_now(conf().lease / 3)).annotate(now=Now())
        asked_at = time.monotonic()
        found = list(late.values_list("pk", "parent", "lease_until", "now")[:RESCUE_BATCH_ROWS])

        # The clock may have been put forward in this run.
        if found:
            self._clock.read(found[0][-1], asked_at, time.monotonic())
        if self._clock.step > 0:
            self._observation.begin_anew()

        can_be_written = not found or jobs_can_be_written()
        if not can_be_written:
            self._observation.begin_anew()
            if self._can_be_written:
                logger.warning(
                    "another transaction has locked the whole table of jobs, and no lease is "
                    "renewed; no lost jobs are rescued until it ends. Is an index built without "
                    "CONCURRENTLY?"
                )
        self._can_be_written = can_be_written
        return [
            (job_id, parent_id) for job_id, parent_id, until, now in found if until and until < now
        ]

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
            if job is None:
                self._are_locked.add(job_id)
                return
            if job_id in self._were_locked:
                # Nobody could renew the lease until now. A worker that lives does so at once.
                return
            rescued = transitions.reclaim(job, reason)

        if rescued is None:
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
    return _held_until(Now())


def _held_until(time: Any) -> QuerySet[Job]:
    """The jobs whose lease ends before a time, the earliest first."""
    # `worker__isnull` is implied, and names the index.
    return Job.objects.filter(
        status=Status.RUNNING, lease_until__lt=time, worker__isnull=False
    ).order_by("lease_until")


def _unlocked(rows: QuerySet[Job]) -> Job | None:
    """Lock and return the first of these rows; None where there is none, or it is locked."""
    return rows.select_for_update(skip_locked=True).first()
