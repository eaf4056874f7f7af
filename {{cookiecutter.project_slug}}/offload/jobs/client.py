"""What a service calls: submit a job, find it, cancel it. Nothing here talks to the broker."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, TypeVar, Unpack
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import QuerySet
from django.utils import timezone
from pydantic import BaseModel

from offload.jobs.admission import admit, admit_retry, admit_waiting, turn_to_submit
from offload.jobs.attempt_span import add_submitted_event
from offload.jobs.control import cancel_job, discard_job, no_such_job, retry_job
from offload.jobs.followers import follower_columns
from offload.jobs.idempotency import Idempotency, find_kept, repeated
from offload.jobs.inserts import insert_list, insert_new
from offload.jobs.job_type import JobType
from offload.jobs.limits import MAX_SECONDS
from offload.jobs.metrics import count_new
from offload.jobs.models import Job
from offload.jobs.priority import Priority, PriorityName
from offload.jobs.services import services
from offload.problems import Problem

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)

# The clock of a process that has not read the database's may be so much ahead of it, or behind it.
MAX_CLOCK_ERROR = timedelta(minutes=5)


class Choices(TypedDict, total=False):
    """What a caller may choose for a job; a list of jobs gets the same for each.

    Args:
        then: jobs that follow; each starts with the result of the one before as its parameters.
        on_end: a job that follows the end of all, also a bad end, with a `JobEnded`.
        run_at: no worker begins the job before this time, which has a time zone.
        start_before: a job that no worker has begun until then fails. The default is the type's
            `start_within`.
        priority: instead of the priority that the type declares; a job's parts have it, too.
        request_id: the id that the job's log lines carry, at most 128 characters. The default is
            the id of the request that submits, or of the one that the running job works for.
    """

    then: Sequence[JobType[Any, Any]]
    on_end: JobType[Any, Any] | None
    run_at: datetime | None
    start_before: datetime | None
    priority: PriorityName | None
    request_id: str


async def submit(
    job_type: JobType[P, R],
    params: P,
    *,
    owner: str,
    idempotency: Idempotency | None = None,
    **choices: Unpack[Choices],
) -> Job:
    """Accept a job. When this returns, the job is in the database and will run.

    Args:
        job_type: what `@job` made of the function.
        params: the job's parameters, an instance of its model.
        owner: who may see the job.
        idempotency: the same key and request give the same job again.
        choices: see `Choices`.

    Raises:
        InvalidJob: the models of the followers do not fit.
        ValueError: no priority has this name.
        Problem: 503 with `Retry-After` where the queue is too deep or too old, or has too many jobs
            for later; 429 with it where too many of these jobs are this owner's; 422 where the key
            came with another request, or where the times cannot be kept.
        ParamsTooLarge: the parameters are over `conf().params_limit` bytes.
        ParamsUnfit: a worker could not read them back.
    """
    try:
        columns = _columns(job_type, choices)
        admit(job_type.limits.queue, owner)
    except Problem:
        # A repeated request is no new job: the queue holds it already.
        if found := await repeated(job_type, owner=owner, idempotency=idempotency):
            return found
        raise

    return await sync_to_async(_insert)(job_type, params, owner, idempotency, **columns)


def submit_sync(
    job_type: JobType[P, R],
    params: P,
    *,
    owner: str,
    **choices: Unpack[Choices],
) -> Job:
    """Accept a job in sync code, as `submit`. In a transaction it is published at the commit."""
    columns = _columns(job_type, choices)
    admit(job_type.limits.queue, owner)
    return _insert(job_type, params, owner, None, **columns)


def insert(
    job_type: JobType[P, R], params: P, owner: str, run_at: datetime | None = None, **columns: Any
) -> Job:
    """Accept a job whose row has some columns of its own, such as `id`. Raises as `submit` does."""
    columns |= _checked_times(run_at, None)
    admit(job_type.limits.queue, owner)
    return _insert(job_type, params, owner, None, **columns)


async def submit_many(
    job_type: JobType[P, R], params: Iterable[P], *, owner: str, **choices: Unpack[Choices]
) -> list[Job]:
    """Accept several jobs in one transaction, all or none. Raises as `submit` does.

    Returns:
        A job for each of the parameters, in their order. Of a `unique` type it may be one that was
        there before, or the same for two equal ones.
    """
    columns = _columns(job_type, choices)
    wanted = list(params)
    admit(job_type.limits.queue, owner, len(wanted))

    def insert_all() -> list[Job]:
        # In the thread: 10,000 rows take a second to make.
        jobs = [Job.new(job_type, each, owner, **columns) for each in wanted]
        is_planned = "due_at" in columns
        with turn_to_submit(job_type, owner, is_planned):
            admit_waiting(jobs, is_planned)
            stored = insert_list(jobs)
        new = [job for job, found in zip(jobs, stored, strict=True) if job.pk == found.pk]
        count_new(new)
        add_submitted_event(new)
        if not is_planned:
            services.dispatch(new)
        if job_type.limits.run_limit is None:
            return stored
        # Some may have become due meanwhile.
        rows = Job.objects.in_bulk([job.pk for job in stored])
        return [rows.get(job.pk, job) for job in stored]

    return await sync_to_async(insert_all)()


async def find(job_id: UUID, owner: str) -> Job:
    """An owner's job.

    Raises:
        Problem: 404 where there is no such job, or it is another owner's, who should not learn of
            it.
    """
    return await _first(Job.objects.filter(pk=job_id, owner=owner), job_id)


async def find_summary(job_id: UUID, owner: str) -> Job:
    """An owner's job, as `find`, without `Job.LARGE_FIELDS`: they may not be read later either."""
    rows = Job.objects.filter(pk=job_id, owner=owner)
    return await _first(rows.defer(*Job.LARGE_FIELDS), job_id)


async def cancel(job: Job) -> Job:
    """Ask a job to stop. A queued job is cancelled at once. A second request changes nothing.

    Raises:
        Problem: 404 where the job has expired meanwhile.
    """
    return await sync_to_async(cancel_job)(job.pk, job.owner)


async def retry(job: Job, by: str = "") -> Job:
    """Queue a failed or cancelled job again, with all its attempts; see `by_hand.py`.

    Args:
        by: who asks for it, for the log; the job's owner if not given.

    Raises:
        Problem: 404, the job has expired meanwhile; 409, it cannot be retried now; 429 and 503 as
            of `submit`.
    """
    return await sync_to_async(retry_job)(job.pk, by or job.owner, admit_retry)


async def discard(job: Job, by: str = "") -> None:
    """Delete a finished job before its lifetime has ended. Arguments and errors as of `retry`."""
    await sync_to_async(discard_job)(job.pk, by or job.owner)


async def _first(rows: QuerySet[Job], job_id: UUID) -> Job:
    found = await rows.afirst()
    if found is None:
        raise no_such_job(job_id)
    return found


def _columns(job_type: JobType[P, R], choices: Choices) -> dict[str, Any]:
    """The columns for which a caller chose a value."""
    then, on_end = choices.get("then", ()), choices.get("on_end")
    columns = follower_columns(job_type, then, on_end)
    columns |= _checked_times(choices.get("run_at"), choices.get("start_before"))
    if priority := choices.get("priority"):
        columns["priority"] = Priority.named(priority)
    if request_id := choices.get("request_id"):
        columns["request_id"] = request_id
    return columns


def _checked_times(run_at: datetime | None, start_before: datetime | None) -> dict[str, datetime]:
    """The columns of a job that is not to begin before or after a time.

    Raises:
        Problem: 422, a time has no time zone or is far away, or no worker could begin the job in
            time.
    """
    now, times = services.stats.database_time(), {}
    for name, time in (("run_at", run_at), ("start_before", start_before)):
        if time is not None and timezone.is_naive(time):
            raise Problem(422, f"{name} needs a time zone, as in 2030-01-31T09:00:00+01:00")
        # In UTC it may be in the year 10,000. PostgreSQL takes that, and nobody reads the row then.
        if time is not None and time - now > timedelta(seconds=MAX_SECONDS):
            raise Problem(422, f"{name}={time} is more than 100 years from now")

    # A time that has passed means now. Where this clock may be ahead, the database's decides.
    if run_at is not None and run_at > now - MAX_CLOCK_ERROR:
        times["due_at"] = run_at
    if start_before is not None:
        if start_before <= max(now, run_at or now):
            raise Problem(
                422,
                f"start_before={start_before} must be later than now, and later than run_at: else "
                "no worker can begin the job in time",
            )
        times["start_before"] = start_before
    return times


def _insert(
    job_type: JobType[P, R],
    params: P,
    owner: str,
    idempotency: Idempotency | None,
    **columns: Any,
) -> Job:
    job = Job.new(job_type, params, owner, **columns)
    if idempotency is not None:
        job.idempotency_key, job.fingerprint = idempotency.key, idempotency.fingerprint
        if job_type.limits.unique and (kept := find_kept(job_type, owner, idempotency)):
            return kept
    is_planned = "due_at" in columns
    with turn_to_submit(job_type, owner, is_planned):
        stored = insert_new(job_type, job, idempotency, is_planned)
    if stored is not job:
        return stored

    count_new([job])
    add_submitted_event([job])
    # A row that is due later is published by the maintenance.
    return job if is_planned else _dispatched(job)


def _dispatched(job: Job) -> Job:
    services.dispatch([job])
    if job.limit_key is not None:
        # It may have become due meanwhile.
        job.refresh_from_db(fields=["due_at", "unblock_at", "place"])
    return job
