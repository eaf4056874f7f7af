"""The `report` that a job's function calls, and what it raises."""

import logging
import time

from django.db import connections

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.declare import Report
from offload.jobs.divided import update_progress
from offload.jobs.models import Job
from offload.jobs.services import services
from offload.jobs.worker.failure import clean_text

log = logging.getLogger("offload.jobs")

MAX_MESSAGE_LENGTH = 200


class Cancelled(BaseException):
    """Raised in a job that was asked to stop. It is no `Exception`, so that a job's `except
    Exception` does not catch it.
    """


class LeaseLost(BaseException):
    """Raised in a job that another worker has taken over: its result no longer counts."""


def make_report(job: Job) -> Report:
    """A `report` for this job.

    It writes at most once in `conf().report_interval` seconds. A call in between costs one look at
    the clock.
    """
    interval = conf().report_interval
    next_write = time.monotonic()

    def report(fraction: float, message: str = "") -> None:
        nonlocal next_write
        now = time.monotonic()
        if now < next_write:
            return
        next_write = now + interval

        # NaN is smaller than nothing and larger than nothing: this order makes it 0.
        fraction = min(max(0.0, fraction), 1.0)
        _write(job, fraction, clean_text(message, MAX_MESSAGE_LENGTH))

    return report


def _write(job: Job, fraction: float, message: str) -> None:
    try:
        row = transitions.progress(job, fraction, message)
        parent = update_progress(row) if row is not None else None
    except DATABASE_ERRORS:
        # A job does not fail because its progress cannot be written: only its lease counts.
        connections.close_all()
        log.warning(
            "job %s: the database does not answer, its progress is not written; it goes on",
            job.pk,
            extra=job.log_fields(),
        )
        return

    if row is None:
        raise LeaseLost
    if row.cancel_requested_at:
        raise Cancelled

    services.events.publish(row)
    if parent is not None:
        services.events.publish(parent)
