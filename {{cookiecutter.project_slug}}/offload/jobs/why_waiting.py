"""Why a job does not run now: a sentence for each cause.

The owner's view of a job and the operations page say the same, because both ask here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils.text import capfirst

from offload.celery_app import celery_app
from offload.conf import conf
from offload.jobs.blocked import blocked, limit_of
from offload.jobs.models import FINAL, Job, Leader, Pause, Status, Worker
from offload.jobs.row_states import running_workers, waiting
from offload.jobs.services import services

# Jobs that are counted before this one; of more the page says "over 10,000".
MAX_COUNTED_BEFORE = 10_000
# Jobs that a sentence names.
MAX_NAMED_JOBS = 5
# Seconds in which a due job gets its message. Where it has none later, there are many before it.
MESSAGE_SECONDS = 5.0


@dataclass(frozen=True)
class Reason:
    """One cause.

    Args:
        text: a sentence for the person on call.
        jobs: other jobs that are the cause, at most `MAX_NAMED_JOBS`.
    """

    text: str
    jobs: list[UUID] = field(default_factory=list)


def blocked_by(job: Job) -> str | None:
    """What keeps a job from running now, in words; it makes no query.

    Two cases: a limit, or that no worker knows its type. None where neither keeps it.
    """
    now = services.stats.database_time()
    if job.due_at is not None and job.due_at <= now and _is_unserved(job):
        return f"no running worker knows the job type {job.kind!r}"
    if job.unblock_at is None or job.limit_key is None or job.unblock_at > now:
        return None
    limit = limit_of(job.limit_key)
    return f"blocked by limit: {limit.in_words()}" if limit is not None else None


def _is_unserved(job: Job) -> bool:
    """Whether no running worker of the queue knows the type of a due job."""
    return job.kind in services.stats.unserved.get(job.queue, ())


def expected_start_seconds(job: Job) -> float | None:
    """Seconds until a queued job starts; None where that is not known.

    It is not known where the stats do not say, where the job is for later or paused, and where it
    is blocked: only the view of one job reads the rows before a blocked one.
    """
    if job.due_at is None or job.due_at > services.stats.database_time() or _is_unserved(job):
        return None
    if services.stats.is_paused(job.queue, job.kind):
        return None
    stats = services.stats.queues.get(job.queue)

    # A queue that was empty a second ago may belong to idle workers, or to busy ones.
    if job.status != Status.QUEUED or stats is None or not (stats.rows and stats.drain):
        return None
    return round(stats.rows / stats.drain, 1)


def reasons_of_waiting(job: Job) -> list[Reason]:
    """Every cause for which a job does not run now; none where it runs or has ended.

    Some ten statements, each of which reads a bounded piece of an index.
    """
    if job.final:
        return []
    if job.worker is not None:
        return list(_of_held(job, job.worker))
    if job.due_at is None and job.unblock_at is None:
        return list(_of_divided(job))
    return list(_of_queued(job)) or [
        Reason("It is due and a process of a worker is free: it begins in a moment.")
    ]


def _of_held(job: Job, worker_id: UUID) -> Iterator[Reason]:
    """A worker holds the job. It may be gone."""
    if job.lease_until is not None and job.lease_until <= services.stats.database_time():
        worker = Worker.objects.filter(pk=worker_id).first()
        name = worker.name if worker else f"the worker {worker_id}, which has ended"
        yield Reason(
            f"Nothing was heard from {name} for {conf().lease:g} s. The job begins again, or fails "
            "after its last attempt, within some seconds."
        )


def _of_divided(job: Job) -> Iterator[Reason]:
    """The job waits for its parts."""
    parts = Job.objects.filter(parent=job.pk)
    counts = dict(parts.values_list("status").annotate(count=Count("pk")).order_by())
    ended = sum(counts.get(status, 0) for status in FINAL)
    unfinished = parts.exclude(status__in=FINAL).order_by("number")
    yield Reason(
        f"It waits for its parts: {ended} of {job.parts_count} have ended, "
        f"{counts.get(Status.RUNNING, 0)} run, {counts.get(Status.QUEUED, 0)} wait.",
        list(unfinished.values_list("pk", flat=True)[:MAX_NAMED_JOBS]),
    )


def _of_queued(job: Job) -> Iterator[Reason]:
    for paused in Pause.objects.filter(Q(queue=job.queue) | Q(kind=job.kind)):
        yield Reason(
            f"{capfirst(str(paused))} is paused by {paused.paused_by} since "
            f"{_moment(paused.paused_at)}: {paused.reason or 'no reason given'}."
        )

    now, later = services.stats.database_time(), job.due_at or job.unblock_at
    if later is not None and later > now:
        why = "its last attempt failed" if job.attempts else "it was submitted for that time"
        yield Reason(f"It is due later, at {_moment(later)}: {why}.")
        return
    if job.start_before is not None and job.start_before <= now:
        yield Reason("The deadline for its start has passed: it fails within 2 s.")
        return

    yield from _of_limit(job)
    yield from _of_workers(job)
    yield from _of_broker(job)
    if job.due_at is not None:
        yield from _of_those_before(job, job.due_at)


def _of_limit(job: Job) -> Iterator[Reason]:
    """The job is blocked; else nothing."""
    if job.unblock_at is None or job.limit_key is None:
        return

    words = blocked_by(job)
    if words is None:
        yield Reason(
            "It is blocked by a limit that this process does not declare. A process that knows its "
            "job type decides about it."
        )
        return

    before = _counted(blocked(job.limit_key).filter(rank__lt=job.rank))
    places = Job.objects.filter(limit_key=job.limit_key, place__isnull=False).order_by("place")
    holders = list(places.values_list("pk", flat=True)[:MAX_NAMED_JOBS])
    yield Reason(
        f"{capfirst(words)}. Blocked jobs of this limit that come before it: {before}."
        + (" The limit's places are taken by:" if holders else ""),
        holders,
    )


def _of_workers(job: Job) -> Iterator[Reason]:
    """No worker takes the job, or all are busy."""
    running = list(running_workers())
    readers = [worker for worker in running if job.queue in worker.queues]
    knowing = [worker for worker in readers if not worker.kinds or job.kind in worker.kinds]
    if job.queue not in celery_app().amqp.queues:
        yield Reason(
            f"config/celery.py declares no queue {job.queue!r}. Declare it again, or cancel the "
            "job; after a day it fails."
        )
    elif not readers:
        others = ", ".join(sorted({queue for worker in running for queue in worker.queues}))
        yield Reason(
            f"No worker reads the queue {job.queue!r}; workers read: {others or 'none'}. Start "
            f"one: python -m offload.jobs -Q {job.queue}"
        )
    elif not knowing:
        yield Reason(
            f"No running worker of the queue {job.queue!r} knows the job type {job.kind!r}. Deploy "
            "workers that declare it, or cancel the job; after a day it fails."
        )
    else:
        slots = sum(worker.slots for worker in knowing)
        held = Job.objects.filter(worker__in=[worker.pk for worker in knowing])
        if held.count() >= slots:
            yield Reason(
                f"All processes of the workers of the queue {job.queue!r} are busy: {slots}."
            )


def _of_broker(job: Job) -> Iterator[Reason]:
    """Nobody publishes the job's message, or has published it yet."""
    rows: Any = Leader.objects.annotate(now=Now())
    leader = rows.first()
    if leader is None or leader.until <= leader.now:
        yield Reason(
            "No process does the maintenance: no web process and no worker has reached the "
            "database for some seconds."
        )
    elif not leader.reaches_broker or (services.relay and not services.stats.broker):
        yield Reason("The broker (Redis) does not answer. Jobs wait in their rows until it does.")
    elif job.published_at is None and job.due_at is not None:
        seconds = (leader.now - job.due_at).total_seconds()
        if seconds > MESSAGE_SECONDS:
            yield Reason("It has no message yet: 500 jobs of a queue get theirs in a second.")


def _of_those_before(job: Job, due_at: datetime) -> Iterator[Reason]:
    queue = Job.objects.filter(waiting(), queue=job.queue, due_at__lt=due_at)
    before = _counted(queue.exclude(pk=job.pk))
    if before == "0":
        return
    # The rate is that of workers which may be gone.
    is_read = any(job.queue in worker.queues for worker in running_workers())
    seconds = expected_start_seconds(job) if is_read else None
    expected = f" At the rate of the last minute it begins in {seconds:g} s." if seconds else ""
    yield Reason(f"Jobs of the queue {job.queue!r} that have waited longer: {before}.{expected}")


def _counted(rows: Any) -> str:
    """The number of rows, in words where it is large."""
    count = rows.order_by()[: MAX_COUNTED_BEFORE + 1].count()
    return f"{count:,}" if count <= MAX_COUNTED_BEFORE else f"Over {MAX_COUNTED_BEFORE:,}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
