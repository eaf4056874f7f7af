"""The metrics of one attempt of a job, written by the process that works on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from offload.conf import conf
from offload.jobs import metrics
from offload.jobs.models import Job


@contextmanager
def measured(job: Job) -> Iterator[None]:
    """Count an attempt that was just claimed, and how long it waited; then time it."""
    labels = job.kind, job.queue
    metrics.ATTEMPTS.labels(*labels).inc()
    waited = _seconds_waited(job)
    if waited is not None:
        metrics.WAIT.labels(*labels).observe(waited)

    running, started = metrics.RUNNING.labels(*labels), time.perf_counter()
    running.inc()
    try:
        yield
    finally:
        # A process that is killed keeps its 1, which is removed with its other gauges.
        running.dec()
        metrics.RUN.labels(*labels).observe(time.perf_counter() - started)


def _seconds_waited(job: Job) -> float | None:
    """How many seconds a claimed job was due, by the database's clock alone.

    None if an older process claimed it.
    """
    if job.was_due_at is None or job.lease_until is None:
        return None
    claimed_at = job.lease_until.timestamp() - conf().lease
    return max(claimed_at - job.was_due_at.timestamp(), 0.0)
