"""A job as its owner sees it, and the 202 that a view answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from pydantic import BaseModel

from offload.jobs.models import Job, Status
from offload.jobs.services import services


class JobView(BaseModel):
    """A job as its owner sees it."""

    id: UUID
    kind: str
    status: str
    progress: float
    message: str
    result: Any = None
    error: str | None = None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expected_start_seconds: float | None = None
    """For a queued job: seconds until it starts, from its queue's depth and drain rate; null where
    they are not known.
    """


async def view_of(job: Job) -> JobView:
    """The job as its owner sees it. A large result is read from file storage."""
    result = await sync_to_async(job.load_result)() if job.result_file else job.result
    return JobView(
        id=job.pk,
        kind=job.kind,
        status=job.status,
        progress=round(job.progress, 4),
        message=job.message,
        result=result,
        error=job.error or None,
        attempts=job.attempts,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expected_start_seconds=expected_start_seconds(job),
    )


async def accepted(job: Job) -> HttpResponse:
    """202 with `Location` and the job: what a view answers after `submit`."""
    body = (await view_of(job)).model_dump_json()
    location = {"Location": f"/api/jobs/{job.pk}"}
    return HttpResponse(body, status=202, content_type="application/json", headers=location)


def expected_start_seconds(job: Job) -> float | None:
    """Seconds until a queued job starts; None where the stats do not say."""
    stats = services.stats.queues.get(job.queue)

    # A queue that was empty a second ago may belong to idle workers, or to busy ones.
    if job.status != Status.QUEUED or stats is None or not (stats.depth and stats.drain):
        return None
    return round(stats.depth / stats.drain, 1)
