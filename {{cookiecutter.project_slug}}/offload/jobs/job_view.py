"""A job as its owner sees it, and the 202 that a view answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.files.storage import default_storage
from django.http import HttpResponse
from pydantic import BaseModel

from offload.jobs.models import Job, Status
from offload.jobs.services import services

# A worker on one host wrote a file that the web process on another host does not see.
MISSING_RESULT = (
    "the stored result is missing: web processes and workers must share one file storage "
    "(MEDIA_ROOT)"
)


class JobSummary(BaseModel):
    """A job without its result, as lists and events have it: a result may have 64 MB."""

    id: UUID
    kind: str
    status: str
    progress: float
    message: str
    error: str | None = None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result_url: str | None = None
    """Where a succeeded job's result is read, as it is stored; the address takes `Range`."""
    expected_start_seconds: float | None = None
    """For a queued job: seconds until it starts, from its queue's due rows, parts included, and its
    drain rate; null where they are not known. A job of an owner with few waiting jobs starts
    earlier.
    """


class JobView(JobSummary):
    """A job as its owner sees it."""

    result: Any = None
    """The result; null where it is large (over 1 MB by default): read `result_url`."""
    result_problem: str | None = None
    """Why a succeeded job's stored result cannot be read; null where it can."""


def summary_of(job: Job) -> JobSummary:
    """The job without its result."""
    return JobSummary(**_summary_fields(job))


async def view_of(job: Job) -> JobView:
    """The job with its result, unless that is in file storage."""
    return JobView(
        **_summary_fields(job),
        result=job.result,
        result_problem=await _result_problem(job),
    )


async def accepted(job: Job) -> HttpResponse:
    """202 with `Location` and the job: what a view answers after `submit`."""
    body = (await view_of(job)).model_dump_json()
    location = {"Location": job_url(job)}
    return HttpResponse(body, status=202, content_type="application/json", headers=location)


def job_url(job: Job) -> str:
    """The path of a job in the API."""
    return f"/api/jobs/{job.pk}"


def expected_start_seconds(job: Job) -> float | None:
    """Seconds until a queued job starts; None where the stats do not say."""
    stats = services.stats.queues.get(job.queue)

    # A queue that was empty a second ago may belong to idle workers, or to busy ones.
    if job.status != Status.QUEUED or stats is None or not (stats.rows and stats.drain):
        return None
    return round(stats.rows / stats.drain, 1)


def _summary_fields(job: Job) -> dict[str, Any]:
    return {
        "id": job.pk,
        "kind": job.kind,
        "status": job.status,
        "progress": round(job.progress, 4),
        "message": job.message,
        "error": job.error or None,
        "attempts": job.attempts,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "result_url": f"{job_url(job)}/result" if job.status == Status.SUCCEEDED else None,
        "expected_start_seconds": expected_start_seconds(job),
    }


async def _result_problem(job: Job) -> str | None:
    if not job.result_file or await sync_to_async(default_storage.exists)(job.result_file):
        return None
    return MISSING_RESULT
