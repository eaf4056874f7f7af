"""Inserts the rows of one job, or of a list of jobs, or finds those that stand in their way."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, connection, transaction

from offload.jobs.admission import admit_waiting
from offload.jobs.idempotency import Idempotency, find_repeated, keep_key
from offload.jobs.job_type import JobType
from offload.jobs.models import Job
from offload.jobs.row_states import unfinished_with
from offload.jobs.transactions import INSERT_BATCH_ROWS
from offload.problems import Problem

# How often an INSERT is tried that meets another job with its unique key, which ends meanwhile.
MAX_INSERT_TRIES = 5


def insert_new(
    job_type: JobType[Any, Any], job: Job, idempotency: Idempotency | None, is_planned: bool
) -> Job:
    """Insert a job, or find the one that stands in its way."""
    owner = job.owner
    if is_planned or job.limit_key is not None:
        if idempotency is not None and (found := find_repeated(job_type, owner, idempotency)):
            return found
        admit_waiting([job], is_planned)

    for _ in range(MAX_INSERT_TRIES):
        # Within a caller's transaction a savepoint keeps it usable. Else it is one statement.
        savepoint = transaction.atomic() if connection.in_atomic_block else contextlib.nullcontext()
        try:
            with savepoint:
                job.save(force_insert=True)
        except IntegrityError:
            if found := _existing(job_type, job, idempotency):
                return found
        else:
            return job

    raise _always_in_the_way(job_type.name)


def _existing(job_type: JobType[Any, Any], job: Job, idempotency: Idempotency | None) -> Job | None:
    """The row for which the database refused an INSERT.

    Three cases:
    1. The idempotency key has been used: its job.
    2. The job is unique, and an unfinished one has the same parameters: that one. It keeps the key.
    3. The unfinished job has ended meanwhile: None, and the new job can be inserted.
    """
    if idempotency is not None and (
        repeated_job := find_repeated(job_type, job.owner, idempotency)
    ):
        return repeated_job

    if job.unique_key is not None:
        unfinished = unfinished_with([job.unique_key]).first()
        if unfinished is not None:
            return keep_key(unfinished, idempotency) if idempotency else unfinished
    return None


def insert_list(jobs: list[Job]) -> list[Job]:
    """Insert new jobs of one type in one transaction.

    Of a `unique` type those are inserted for which there is no unfinished job with the same
    parameters.

    Returns:
        For each job itself, or the unfinished one that stands in its way, which may be an earlier
        one of the same list.

    Raises:
        Problem: 409, as `_always_in_the_way`.
    """
    first = {job.unique_key: job for job in reversed(jobs) if job.unique_key is not None}
    if not first:
        return Job.objects.bulk_create(jobs, batch_size=INSERT_BATCH_ROWS)

    # One order in all processes. A transaction waits for another one that inserts the same key, and
    # with two orders two of them would wait for each other.
    ordered = [first[key] for key in sorted(first)]
    with transaction.atomic():
        found = {
            job.unique_key: job
            for start in range(0, len(ordered), INSERT_BATCH_ROWS)
            for job in _insert_unique(ordered[start : start + INSERT_BATCH_ROWS])
        }
    return [found[job.unique_key] for job in jobs]


def _insert_unique(jobs: list[Job]) -> Iterator[Job]:
    left = jobs
    for _ in range(MAX_INSERT_TRIES):
        Job.objects.bulk_create(left, ignore_conflicts=True)
        unfinished = unfinished_with([job.unique_key for job in left])
        found = {job.unique_key: job for job in unfinished}
        yield from found.values()

        # The job that stood in the way has ended between the two statements.
        left = [job for job in left if job.unique_key not in found]
        if not left:
            return

    raise _always_in_the_way(left[0].kind)


def _always_in_the_way(kind: str) -> Problem:
    """409 for a unique job that met another one with its parameters at each try.

    Each of those had ended when it was looked for.
    """
    return Problem(
        409,
        f"jobs of the type {kind!r} with the same parameters began and ended while this one was "
        f"submitted, {MAX_INSERT_TRIES} times: try again",
    )
