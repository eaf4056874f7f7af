"""Inserts the rows of a list of jobs."""

from collections.abc import Iterator

from django.db import transaction

from offload.jobs.models import Job
from offload.jobs.row_states import unfinished_with
from offload.problems import Problem

# Rows of one INSERT. PostgreSQL ends a statement after 8 s, and one of 10,000 rows took longer on a
# busy machine.
INSERT_BATCH_ROWS = 1000
# How often an INSERT is tried that meets another job with its unique key, which ends meanwhile.
MAX_INSERT_TRIES = 5


def insert_list(jobs: list[Job]) -> list[Job]:
    """Insert new jobs of one type in one transaction.

    Of a `unique` type those are inserted for which there is no unfinished job with the same
    parameters.

    Returns:
        For each job itself, or the unfinished one that stands in its way, which may be an earlier
        one of the same list.

    Raises:
        Problem: 409, as `always_in_the_way`.
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

    raise always_in_the_way(left[0].kind)


def always_in_the_way(kind: str) -> Problem:
    """409 for a unique job that met another one with its parameters at each try.

    Each of those had ended when it was looked for.
    """
    return Problem(
        409,
        f"jobs of the type {kind!r} with the same parameters began and ended while this one was "
        f"submitted, {MAX_INSERT_TRIES} times: try again",
    )
