"""The span of each attempt of a job.

The row keeps the `traceparent` of the span in which the job was submitted. Parts and followers have
that of their job. All attempts, first or later ones, are children of this one span: so one trace
leads from a request to all that came of it, also across retries and hand-backs.

A job may begin long after it was accepted: it was to, or it waited, or somebody retried it by hand.
After `MAX_TRACE_SECONDS` an attempt begins a trace of its own, with a link to that span: collectors
no longer wait for the old trace, and its picture would be one of waiting.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from django.db import transaction

from offload.jobs.models import Job, Status
from offload.observe.tracing import tracing

MAX_TRACE_SECONDS = 3600.0
# The first ids of many jobs that are submitted together.
MAX_IDS = 10
NANOSECONDS = 1_000_000_000

# Why an attempt has no end that its own process wrote.
Interruption = Literal["worker_lost", "time_limit", "handed_back"]


def add_submitted_event(jobs: Sequence[Job]) -> None:
    """Note on the span of this context that these jobs of one type were accepted."""
    if tracing.is_on and jobs:
        ids = [str(job.pk) for job in jobs[:MAX_IDS]]
        found = {"offload.job.kind": jobs[0].kind, "offload.job.count": len(jobs)}
        tracing.add_event("job.submitted", {**found, "offload.job.ids": ids})


@contextmanager
def traced(job: Job) -> Iterator[None]:
    """Trace an attempt that was just claimed. What the block submits or calls belongs to it."""
    with tracing.attached(_begin(job)):
        yield


def trace_interrupted(job: Job, row: Job, why: Interruption) -> None:
    """Make the span of an attempt whose process is gone, once that is committed.

    It begins when the job began, or when it was due for a later attempt, by the database's clock.

    Args:
        job: its row while the attempt ran.
        row: its new row.
    """
    if tracing.is_on:
        transaction.on_commit(partial(_trace_interrupted, job, row, why))


def _trace_interrupted(job: Job, row: Job, why: Interruption) -> None:
    now = time.time_ns()
    span = _begin(job, start_time=min(now, int(_began_at(job) * NANOSECONDS)))
    span.set_attribute("offload.job.status", row.status)
    span.set_attribute("offload.job.interrupted", why)
    if why != "handed_back" and row.status != Status.CANCELLED:
        tracing.fail(span, why)
    span.end(now)


def _begin(job: Job, **options: Any) -> Any:
    submitted_in = tracing.remote({"traceparent": job.traceparent}) if job.traceparent else None
    if submitted_in and _began_at(job) - job.created_at.timestamp() > MAX_TRACE_SECONDS:
        options["links"] = [tracing.link(submitted_in)]
        submitted_in = None
    attributes = {
        "offload.job.id": str(job.pk),
        "offload.job.kind": job.kind,
        "offload.job.queue": job.queue,
        "offload.job.attempt": job.attempts,
        "offload.request_id": job.request_id,
        "process.pid": job.pid or 0,
    }
    if job.parent_id:
        attributes["offload.job.parent_id"] = str(job.parent_id)
    return tracing.begin(
        f"job {job.kind}", "CONSUMER", submitted_in, attributes=attributes, **options
    )


def _began_at(job: Job) -> float:
    """In seconds since 1970. A claim sets both; a process of an older version did not."""
    times = [at.timestamp() for at in (job.started_at, job.was_due_at) if at is not None]
    return max(times, default=job.created_at.timestamp())
