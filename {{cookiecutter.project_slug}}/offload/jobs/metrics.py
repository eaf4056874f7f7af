"""The metrics of jobs.

A count that belongs to a change of a row is made when the change is committed. Web processes,
workers' processes and workers' main processes all count; only their sum says something.
"""

import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Protocol

from django.db import transaction

from offload.observe import Counter, Gauge, Histogram

BY_TYPE = ["kind", "queue"]
# In seconds: from a job that an idle worker takes at once up to an hour, the largest wait that is
# accepted (`queue_age`).
WAIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

SUBMITTED = Counter(
    "offload_jobs_submitted_total",
    "New jobs: those that were submitted, followers, and parts of divided jobs.",
    BY_TYPE,
)
ATTEMPTS = Counter("offload_jobs_attempts_total", "Jobs that a worker began.", BY_TYPE)
WAIT = Histogram(
    "offload_jobs_wait_seconds",
    "Time from the moment at which a job was due until a worker began it, for each attempt.",
    BY_TYPE,
    buckets=WAIT_BUCKETS,
)
RUN = Histogram(
    "offload_jobs_run_seconds",
    "Time from the begin of an attempt until its end was written; not for lost attempts.",
    BY_TYPE,
    buckets=WAIT_BUCKETS,
)
RUNNING = Gauge(
    "offload_jobs_running",
    "Jobs that processes of this host's workers work on.",
    BY_TYPE,
    multiprocess_mode="livesum",
)
ENDED = Counter(
    "offload_jobs_ended_total",
    "Jobs that succeeded, failed or were cancelled.",
    [*BY_TYPE, "status"],
)
RETRIED = Counter(
    "offload_jobs_retried_total", "Attempts that failed and are followed by another one.", BY_TYPE
)
LOST = Counter("offload_jobs_lost_total", "Attempts whose process or worker was lost.", BY_TYPE)
HANDED_BACK = Counter(
    "offload_jobs_handed_back_total",
    "Attempts that a worker gave back because it was told to stop.",
    BY_TYPE,
)


def _read_by_leader(name: str, text: str, labels: list[str] | None = None) -> Gauge:
    """What the leader of the maintenance read once a second. All processes show the same."""
    return Gauge(name, text, labels or (), multiprocess_mode="livemostrecent")


WAITING = _read_by_leader(
    "offload_jobs_waiting", "Jobs that are due and have not started, without parts.", ["queue"]
)
OLDEST = _read_by_leader("offload_jobs_oldest_seconds", "Age of the oldest of them.", ["queue"])
UNSERVED = _read_by_leader(
    "offload_jobs_unserved", "Due jobs whose type no running worker knows.", ["queue", "kind"]
)
UNREAD = _read_by_leader(
    "offload_jobs_unread",
    "Due jobs, parts included, of a queue that no running worker reads.",
    ["queue"],
)
PAUSED = _read_by_leader(
    "offload_jobs_paused",
    "1 for each paused queue and each paused job type, 0 for what is paused no more.",
    ["queue", "kind"],
)
WORKERS = _read_by_leader(
    "offload_jobs_workers",
    "Workers that renewed their row lately, without those that were told to stop.",
)
READ_AT = _read_by_leader(
    "offload_jobs_stats_timestamp_seconds", "When these figures were read, in seconds since 1970."
)

WITHOUT_BROKER = Gauge(
    "offload_jobs_processes_without_broker",
    "Web processes and workers that do not reach the broker.",
    multiprocess_mode="livesum",
)
MALFORMED_EVENTS = Counter(
    "offload_jobs_malformed_events_total", "Messages on the channel of events that are no event."
)
RESTARTS = Counter(
    "offload_jobs_notifier_restarts_total",
    "Starts of a part of the notifier after it had failed.",
)
SUBSCRIBED = Gauge(
    "offload_jobs_events_subscribed",
    "1 while events arrive, 0 while watched rows are read instead. Of several processes the least.",
    multiprocess_mode="livemin",
)


class Typed(Protocol):
    """A job's row, as far as a count needs it."""

    kind: str
    queue: str


class Claimed(Typed, Protocol):
    """A row that a worker has claimed, which sets both times, by the database's clock."""

    was_due_at: datetime | None
    claimed_at: datetime | None


def start_at_zero(job_types: Iterable[tuple[str, str]]) -> None:
    """Make the series of these types and queues. Prometheus sees no increase in a first value of 1.

    Called at the start of a process that counts.
    """
    for kind, queue in job_types:
        for counter in (SUBMITTED, ATTEMPTS, RETRIED, LOST, HANDED_BACK):
            counter.labels(kind, queue)
        for status in ("succeeded", "failed", "cancelled"):
            ENDED.labels(kind, queue, status)


def count(counter: Counter, job: Typed, *labels: str, amount: int = 1) -> None:
    """Count a change of this row once it is committed; at once outside of a transaction."""
    transaction.on_commit(partial(counter.labels(job.kind, job.queue, *labels).inc, amount))


def count_new(jobs: Iterable[Typed]) -> None:
    """Count new rows once they are committed."""
    for (kind, queue), amount in Tally((job.kind, job.queue) for job in jobs).items():
        transaction.on_commit(partial(SUBMITTED.labels(kind, queue).inc, amount))


@contextmanager
def measured(job: Claimed) -> Iterator[None]:
    """Count an attempt that this process has just claimed, and how long it waited; then time it."""
    labels = job.kind, job.queue
    ATTEMPTS.labels(*labels).inc()
    if job.claimed_at and job.was_due_at:
        waited = (job.claimed_at - job.was_due_at).total_seconds()
        WAIT.labels(*labels).observe(max(waited, 0.0))

    running, started = RUNNING.labels(*labels), time.perf_counter()
    running.inc()
    try:
        yield
    finally:
        # A process that is killed keeps its 1, which is removed with its other gauges.
        running.dec()
        RUN.labels(*labels).observe(time.perf_counter() - started)
