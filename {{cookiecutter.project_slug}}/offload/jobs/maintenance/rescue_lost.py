"""Rescues the jobs of workers that no longer renew their leases."""

import logging
import time

from django.db.models.functions import Now

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.models import Job, Status
from offload.jobs.notifier import EventPublisher

log = logging.getLogger("offload.jobs")

# Seconds between two reads of the database that count as one observation. A longer gap means that
# this host was suspended, or the database stalled.
MAX_OBSERVATION_GAP_SECONDS = 3.0
# Rows that one run rescues.
RESCUE_BATCH_ROWS = 100


class Observation:
    """Since when this process has read the database without a gap.

    A lease that ended while the database was down proves nothing: its worker could not renew it.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._last_read = 0.0

    def database_was_read(self) -> None:
        """Note that the database has answered just now."""
        # The wall clock goes on while a laptop sleeps, the monotonic clock does not.
        wall = time.time()
        if self._since is None or wall - self._last_read > MAX_OBSERVATION_GAP_SECONDS:
            self._since = time.monotonic()
        self._last_read = wall

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

    def run(self) -> None:
        """Reclaim lost jobs, if the database was observed for a whole lease."""
        lease = conf().lease
        if self._observation.seconds() < lease:
            return

        reason = f"worker lost: no sign of it for {lease:g} s"
        with FORK_LOCK:
            lost = Job.objects.filter(status=Status.RUNNING, lease_until__lt=Now())
            for job in lost[:RESCUE_BATCH_ROWS]:
                try:
                    self._rescue(job, reason)
                except CONNECTION_ERRORS:
                    raise
                except Exception:
                    log.exception(
                        "job %s is lost and cannot be rescued, but others can: this is a bug",
                        job.pk,
                        extra=job.log_fields(),
                    )

    def _rescue(self, job: Job, reason: str) -> None:
        rescued = transitions.reclaim(job, reason)
        if rescued is None:
            return

        log.warning(
            "job %s: %s, attempt %s of %s",
            job.pk,
            reason,
            job.attempts,
            job.max_attempts,
            extra=job.log_fields(),
        )
        self._events.publish(rescued)
