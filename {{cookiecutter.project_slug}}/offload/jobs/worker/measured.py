"""The metrics of one attempt of a job, written by the process that works on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from offload.jobs import metrics
from offload.jobs.models import Job


@contextmanager
def measured(job: Job) -> Iterator[None]:
    """Count an attempt that was just claimed, and how long it waited; then time it."""
    labels = job.kind, job.queue
    metrics.ATTEMPTS.labels(*labels).inc()
    # A claim sets both, by the database's clock.
    if job.claimed_at and job.was_due_at:
        waited = (job.claimed_at - job.was_due_at).total_seconds()
        metrics.WAIT.labels(*labels).observe(max(waited, 0.0))

    running, started = metrics.RUNNING.labels(*labels), time.perf_counter()
    running.inc()
    try:
        yield
    finally:
        # A process that is killed keeps its 1, which is removed with its other gauges.
        running.dec()
        metrics.RUN.labels(*labels).observe(time.perf_counter() - started)
