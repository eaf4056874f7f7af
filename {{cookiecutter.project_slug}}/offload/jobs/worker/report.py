"""The `report` that a job's function calls, and what it raises."""

import logging
import time
from typing import Any

from django.db import connections

from offload.conf import conf
from offload.jobs import transitions
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.json_documents import plain_json
from offload.jobs.models import Job
from offload.jobs.parts import update_progress
from offload.jobs.services import services
from offload.jobs.worker.failure import clean_text
from offload.postgresql.conflicts import why_refused

logger = logging.getLogger("offload.jobs")

MAX_MESSAGE_LENGTH = 200


class Cancelled(BaseException):
    """Raised in a job that was asked to stop.

    It is no `Exception`, so that a job's `except Exception` does not catch it.
    """


class LeaseLost(BaseException):
    """Raised in a job that another worker has taken over: its result no longer counts."""


class RunningReport:
    """The `report` of a job that runs.

    It writes progress at most once in `conf().report_interval` seconds, and a state as often. The
    two are counted apart: a report of a state comes through at the end of a loop that reports
    progress. A call in between costs one look at the clock.
    """

    def __init__(self, job: Job) -> None:
        self.state = job.checkpoint
        self._job = job
        self._next_write = self._next_checkpoint = time.monotonic()

    def __call__(self, fraction: float, message: str = "", state: Any = None) -> None:
        """Write it if that is due; see `Report`."""
        now = time.monotonic()
        if now < self._next_checkpoint:
            state = None
        if now < self._next_write and state is None:
            return

        interval = conf().report_interval
        self._next_write = now + interval
        if state is not None:
            _check(state)
            self._next_checkpoint = now + interval

        # NaN is smaller than nothing and larger than nothing: this order makes it 0.
        fraction = min(max(0.0, fraction), 1.0)
        _write(self._job, fraction, clean_text(message, MAX_MESSAGE_LENGTH), state)


def _check(state: Any) -> None:
    """Raises: TypeError, ValueError: as `Report`."""
    if (size := len(plain_json(state).encode())) > conf().checkpoint_limit:
        raise ValueError(
            f"the state of a report has {size} bytes, the limit is {conf().checkpoint_limit}: put "
            "large data into storage and report a reference"
        )


def _write(job: Job, fraction: float, message: str, state: Any) -> None:
    try:
        row = transitions.progress(job, fraction, message, state)
        parent = update_progress(row) if row is not None else None
    except DATABASE_ERRORS as error:
        # A job does not fail because its progress cannot be written: only its lease counts.
        connections.close_all()
        logger.warning(
            "job %s: %s, its progress is not written; it goes on: %s",
            job.pk,
            why_refused(error),
            error,
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
