"""A job as its owner sees it, and the 202 that a view answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models.functions import Now
from django.http import HttpResponse
from pydantic import BaseModel

from offload.conf import conf
from offload.jobs.blocked import blocked, limit_of
from offload.jobs.followers import next_job_id
from offload.jobs.job_result import result_problem
from offload.jobs.models import Job, RunLimitKey, Status
from offload.jobs.why_waiting import blocked_by, expected_start_seconds


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
    due_at: datetime | None = None
    """When a worker may begin a queued job: at once, at its `run_at`, or after a retry's delay."""
    started_at: datetime | None
    finished_at: datetime | None
    next_url: str | None = None
    """The next job of a chain, once this one has succeeded; null where none follows."""
    result_url: str | None = None
    """Where a succeeded job's result is read, as it is stored; the address takes `Range`."""
    blocked_by: str | None = None
    """For a queued job: the limit that keeps it from running now, in words, or that no running
    worker knows its type."""
    expected_start_seconds: float | None = None
    """For a queued job: seconds until it starts, from its queue's due rows, parts included, and its
    drain rate; null where they are not known. A job of an owner with few waiting jobs starts
    earlier. For a blocked job it is known where only a rate is limited, and in no list.
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
    fields = _summary_fields(job)
    if job.unblock_at is not None:
        fields["expected_start_seconds"] = await sync_to_async(_expected_unblock_seconds)(job)
    return JobView(
        **fields,
        # Only a succeeded job has one. A row from an UPDATE comes without this field.
        result=job.result if job.status == Status.SUCCEEDED else None,
        result_problem=await result_problem(job),
    )


async def accepted(job: Job) -> HttpResponse:
    """202 with `Location` and the job: what a view answers after `submit`."""
    body = (await view_of(job)).model_dump_json()
    location = {"Location": job_url(job.pk)}
    return HttpResponse(body, status=202, content_type="application/json", headers=location)


def job_url(job_id: UUID) -> str:
    """The path of a job in the API."""
    return f"{conf().api_path}jobs/{job_id}"


def _expected_unblock_seconds(job: Job) -> float | None:
    """Seconds until a rate lets a blocked job start.

    None where the number of running jobs is limited: nobody knows when they end.
    """
    key = str(job.limit_key)
    limit = limit_of(key)
    if limit is None or limit.rate is None or limit.at_once is not None:
        return None

    before = blocked(key).filter(rank__lt=job.rank)[: conf().queue_depth].count()
    state: Any = RunLimitKey.objects.annotate(now=Now()).filter(key=key).first()
    wait = before * limit.interval
    if state is not None:
        _, next_start_at = limit.starts_now(state.next_start_at, state.now)
        wait += max((next_start_at - state.now).total_seconds(), 0.0)
    return round(wait, 1)


def _summary_fields(job: Job) -> dict[str, Any]:
    following = next_job_id(job)
    return {
        "id": job.pk,
        "kind": job.kind,
        "status": job.status,
        "progress": round(job.progress, 4),
        "message": job.message,
        "error": job.error or None,
        "attempts": job.attempts,
        "created_at": job.created_at,
        "due_at": job.due_at or job.unblock_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "next_url": job_url(following) if following else None,
        "result_url": f"{job_url(job.pk)}/result" if job.status == Status.SUCCEEDED else None,
        "blocked_by": blocked_by(job),
        "expected_start_seconds": expected_start_seconds(job),
    }
