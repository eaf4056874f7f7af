"""The parts of a divided job, as its workers see them: their rows, progress and results."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Avg, Count, Q
from pydantic import BaseModel, ValidationError

from offload.jobs.divided import WAITS_FOR_PARTS, fault_of_parts
from offload.jobs.errors import JobError
from offload.jobs.fenced_update import update_job
from offload.jobs.job_type import FailedPart, JobType
from offload.jobs.json_documents import model_of
from offload.jobs.models import Job, Status
from offload.jobs.row_states import from_now, is_over
from offload.jobs.transactions import long_statements
from offload.validation_faults import faults_of

# Seconds between two updates of a divided job's progress, for each of its parts. PostgreSQL reads a
# part in 1 to 2 us, so that the updates of a job take at most 4 % of one CPU.
PROGRESS_INTERVAL_SECONDS_A_PART = 50e-6
# Seconds. The longest of these intervals: that of 100,000 parts.
MAX_PROGRESS_INTERVAL_SECONDS = 5.0


def make_parts(job_type: JobType[Any, Any], job: Job, params: BaseModel) -> list[Job]:
    """The unsaved rows of a job's parts.

    Raises:
        ValueError: `split` gave no parts.
    """
    assert job_type.split is not None
    assert job_type.part is not None

    parts = [
        Job.new(
            job_type.part,
            part_params,
            job.owner,
            parent=job,
            number=number,
            priority=job.priority,
            request_id=job.request_id,
            traceparent=job.traceparent,
        )
        for number, part_params in enumerate(job_type.split(params), 1)
    ]
    for part in parts:
        # `unique` is about what callers submit. A job may have two equal parts.
        part.unique_key = None
    if not parts:
        raise ValueError(f"{job_type.name!r} was divided into no parts: split must give at least 1")
    return parts


def update_progress(part: Job) -> Job | None:
    """Give a divided job the mean progress of its parts.

    It never falls: it stands still while a part computes again what it had computed, and where
    another part's report was written meanwhile. All parts are read for it, so the more there are,
    the more seldom it is done: of 10,000 twice a second, whatever number of processes report.

    Returns:
        The divided job's new row; None where `part` is no part, its parent waits no longer, was
        updated just now, or is as far or farther.
    """
    if part.parent_id is None:
        return None

    is_due = Q(progress_due_at=None) | is_over("progress_due_at", MAX_PROGRESS_INTERVAL_SECONDS)
    due = WAITS_FOR_PARTS & is_due
    # A parent that is not due is no row here, so that its parts are not read.
    found = Job.objects.filter(due, pk=part.parent_id).aggregate(
        mean=Avg("parts__progress"),
        done=Count("parts__finished_at"),
        failed=Count("parts__finished_at", filter=~Q(parts__status=Status.SUCCEEDED)),
        all=Count("parts__pk"),
    )
    if not found["all"]:
        return None

    message = f"{found['done']} of {found['all']} parts"
    if found["failed"]:
        message += f", {found['failed']} of them failed"
    interval = min(found["all"] * PROGRESS_INTERVAL_SECONDS_A_PART, MAX_PROGRESS_INTERVAL_SECONDS)
    return update_job(
        due & Q(progress__lte=found["mean"]),
        part.parent_id,
        progress=found["mean"],
        progress_due_at=from_now(interval),
        message=message,
    )


def part_results(
    job_type: JobType[Any, Any], job: Job, before_file: Callable[[], None] = lambda: None
) -> list[BaseModel | FailedPart]:
    """The results of a job's parts, in the order of their numbers.

    A part that was allowed to fail has a `FailedPart` there.

    Args:
        before_file: called before each result is read from file storage, which may hang.

    Raises:
        JobError: a part's row is missing, so that the combined result would be wrong; or a part's
            result is of a version with another model.
    """
    assert job_type.part is not None
    with transaction.atomic(), long_statements():
        parts = list(job.parts.defer("params", "checkpoint").order_by("number"))
    if fault := fault_of_parts(job, parts):
        raise JobError(f"{fault}. Submit the job again")

    model: type[BaseModel] = job_type.part.result
    return [
        _result_of(part, model, before_file)
        if part.status == Status.SUCCEEDED
        else FailedPart(part.number, part.status, part.error)
        for part in parts
    ]


def _result_of(part: Job, model: type[BaseModel], before_file: Callable[[], None]) -> BaseModel:
    if part.result_file:
        before_file()
    try:
        return model_of(model, part.load_result())
    except ValidationError as error:
        # The text of the cause has the result, and the log would have its traceback.
        raise JobError(
            f"the result of part {part.number} does not fit the model {model.__name__} any more: "
            f"{faults_of(error)}"
        ) from None
