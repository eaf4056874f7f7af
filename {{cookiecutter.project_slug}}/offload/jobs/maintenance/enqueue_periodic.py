"""Submits the jobs that are declared with `every` or `cron`."""

import hashlib
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from offload.jobs.blocked import give_ranks
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.declare import all_job_types
from offload.jobs.job_type import JobType, scheduled_params
from offload.jobs.models import Job, Leader, Pause, Schedule
from offload.jobs.recurrence import Recurrence
from offload.jobs.transactions import bounded_transaction
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# The owner of periodic jobs.
OWNER = "schedule"
# Jobs that `catch_up="all"` submits at once, after an outage.
MAX_CATCH_UP_JOBS = 100
# A moment that is older was missed. A leader looks once a second, and the next one leads after 5 s.
MISSED_AFTER = timedelta(seconds=60)


class EnqueuePeriodic:
    """The duty: one job for each moment of a job type's recurrence, by the database's clock.

    Nothing is submitted while the type or its queue is paused. The moments of a pause are missed
    ones, and `catch_up` says which of them are submitted after the resume.

    A row of `Schedule` remembers the last moment. All processes together submit a moment once, also
    where the job's own row was deleted meanwhile.
    """

    def __init__(self) -> None:
        # When to look at a job type's row again, and when the last look was.
        self._next_look: dict[str, datetime] = {}
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    def run(self) -> None:
        """Submit what is due."""
        periodic = [(each, each.limits.recurrence) for each in all_job_types()]
        if not any(recurrence for _, recurrence in periodic):
            return

        with FORK_LOCK:
            now: datetime = Leader.objects.values_list(Now(), flat=True)[0]
        if now < self._looked_at:
            # The database's clock was put back: the times of the next looks were far ahead.
            self._next_look.clear()
        self._looked_at = now
        due = [
            (job_type, recurrence)
            for job_type, recurrence in periodic
            if recurrence and now >= self._next_look.get(job_type.name, now)
        ]
        if not due:
            return

        with FORK_LOCK:
            paused = set(Pause.objects.values_list("queue", "kind"))
        for job_type, recurrence in due:
            # Its moments wait for the resume: they would fill the queue, which bounds submits.
            if not paused & {("", job_type.name), (job_type.limits.queue, "")}:
                with FORK_LOCK:
                    self._enqueue_alone(job_type, recurrence, now)

    def _enqueue_alone(
        self, job_type: JobType[Any, Any], recurrence: Recurrence, now: datetime
    ) -> None:
        """Submit one job type. A fault of it, or a lock on its row, concerns no other."""
        try:
            _enqueue(job_type, recurrence, now)
        except Exception as error:
            if is_lock_conflict(error):
                logger.warning("the schedule of %s is locked: trying again", job_type.name)
                return
            if isinstance(error, CONNECTION_ERRORS):
                raise
            logger.exception(
                "the periodic job %s cannot be submitted; trying again at its next time",
                job_type.name,
            )
        self._next_look[job_type.name] = recurrence.next_after(now)


def _enqueue(job_type: JobType[Any, Any], recurrence: Recurrence, now: datetime) -> None:
    """Take the moments since the last one, and submit those that the declaration wants."""
    with bounded_transaction():
        schedule, _ = Schedule.objects.get_or_create(
            name=job_type.name, defaults={"last_at": recurrence.beginning(now)}
        )
    last_at = schedule.last_at
    if last_at - now > MISSED_AFTER:
        # The database's clock was put back: that moment would keep the job waiting until it comes.
        last_at = now - MISSED_AFTER
    moments = recurrence.between(last_at, now, MAX_CATCH_UP_JOBS + 1)
    if not moments:
        return

    with bounded_transaction():
        unchanged = Schedule.objects.filter(pk=job_type.name, last_at=schedule.last_at)
        taken = unchanged.update(last_at=moments[-1])
        if not taken or Schedule.objects.get(pk=job_type.name).paused:
            return
        for moment in _wanted(job_type, moments, now):
            _submit(job_type, moment)


def _wanted(job_type: JobType[Any, Any], moments: list[datetime], now: datetime) -> list[datetime]:
    """Which of the moments get a job."""
    match job_type.limits.catch_up:
        case "none":
            return [each for each in moments[-1:] if now - each <= MISSED_AFTER]
        case "last":
            return moments[-1:]

    if len(moments) > MAX_CATCH_UP_JOBS:
        logger.warning(
            "the periodic job %s was missed more than %s times: the last ones are submitted",
            job_type.name,
            MAX_CATCH_UP_JOBS,
        )
    return moments[-MAX_CATCH_UP_JOBS:]


def _submit(job_type: JobType[Any, Any], moment: datetime) -> None:
    params = scheduled_params(job_type.params, moment)
    row = Job.new(job_type, params, OWNER, idempotency_key=f"schedule-{moment.isoformat()}")
    if job_type.limits.overlap == "skip":
        row.unique_key = hashlib.sha256(f"schedule\n{job_type.name}".encode()).hexdigest()

    # An unfinished job with the same `unique_key` takes the place of this one.
    try:
        with transaction.atomic():
            give_ranks([row])
            row.save(force_insert=True)
    except IntegrityError:
        logger.info(
            "the periodic job %s of %s is skipped: an earlier one is unfinished",
            job_type.name,
            moment,
        )
