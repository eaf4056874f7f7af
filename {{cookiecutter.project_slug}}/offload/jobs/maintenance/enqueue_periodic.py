"""Submits the jobs that are declared with `every`."""

import contextlib
import logging
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.declare import JobType, all_job_types
from offload.jobs.models import Job, Leader

log = logging.getLogger("offload.jobs")

# The owner of periodic jobs.
OWNER = "schedule"


class EnqueuePeriodic:
    """The duty: one job for each interval of `every` seconds since 1970, by the database's clock.

    The number of the interval is the job's idempotency key, so that all processes together submit
    it once.
    """

    def __init__(self) -> None:
        # The last interval that this process has submitted, by job type.
        self._submitted: dict[str, int] = {}

    def run(self) -> None:
        """Submit what is due."""
        with FORK_LOCK:
            now: datetime = Leader.objects.values_list(Now(), flat=True)[0]
            for job_type in all_job_types():
                every = job_type.limits.every
                if every:
                    self._submit(job_type, int(now.timestamp() // every))

    def _submit(self, job_type: JobType[Any, Any], interval: int) -> None:
        if self._submitted.get(job_type.name) == interval:
            return

        try:
            row = Job.new(job_type, job_type.params(), OWNER, idempotency_key=f"tick-{interval}")
            with contextlib.suppress(IntegrityError), transaction.atomic():
                row.save(force_insert=True)
        except CONNECTION_ERRORS:
            raise
        except Exception:
            log.exception(
                "the periodic job %s is not submitted for this interval; every field of its "
                "parameters needs a default",
                job_type.name,
            )
        self._submitted[job_type.name] = interval
