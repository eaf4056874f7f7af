"""Submits the jobs that are declared with `every`."""

import contextlib
import logging
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.declare import all_job_types
from offload.jobs.job_type import JobType
from offload.jobs.models import Job, Leader, Schedule

log = logging.getLogger("offload.jobs")

# The owner of periodic jobs.
OWNER = "schedule"


class EnqueuePeriodic:
    """The duty: one job for each interval of `every` seconds since 1970, by the database's clock.

    A row of `Schedule` remembers the last interval. All processes together submit an interval once,
    also where the job's own row was deleted meanwhile.
    """

    def __init__(self) -> None:
        # The last interval that this process has submitted, by job type.
        self._submitted: dict[str, int] = {}

    def run(self) -> None:
        """Submit what is due."""
        periodic = [(each, each.limits.every) for each in all_job_types() if each.limits.every]
        if not periodic:
            return

        with FORK_LOCK:
            now: datetime = Leader.objects.values_list(Now(), flat=True)[0]
            for job_type, every in periodic:
                self._submit(job_type, int(now.timestamp() // every))

    def _submit(self, job_type: JobType[Any, Any], interval: int) -> None:
        if self._submitted.get(job_type.name) == interval:
            return

        try:
            with transaction.atomic():
                if _begin(job_type.name, interval):
                    key = f"tick-{interval}"
                    row = Job.new(job_type, job_type.params(), OWNER, idempotency_key=key)
                    # An unfinished job with the same `unique_key` takes the place of this one.
                    with contextlib.suppress(IntegrityError), transaction.atomic():
                        row.save(force_insert=True)
        except CONNECTION_ERRORS:
            raise
        except Exception:
            log.exception("the periodic job %s is not submitted for this interval", job_type.name)
        self._submitted[job_type.name] = interval


def _begin(name: str, interval: int) -> bool:
    """Take an interval. False where it, or a later one, has been taken."""
    if Schedule.objects.filter(name=name, interval__lt=interval).update(interval=interval):
        return True
    _, created = Schedule.objects.get_or_create(name=name, defaults={"interval": interval})
    return created
