"""The jobs API: look, wait, watch, cancel, list."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db.models import Count, Q, Subquery
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Router
from pydantic import BaseModel, Field

from offload.access import caller
from offload.conf import conf
from offload.jobs import lifespan, relay, submit
from offload.jobs.models import Job, Status
from offload.jobs.rows import result_of

router = Router(tags=["jobs"])

# Seconds; `Prefer: wait=` beyond it is cut (proxies often end idle requests after 60 s).
LONGEST_WAIT = 30.0


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
    """For a queued job: seconds until it starts, by its queue's depth and drain rate; null if they
    say nothing.
    """


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    counts: dict[str, int]
    next: UUID | None
    """Pass as `cursor` for the next page; null on the last."""


async def view(job: Job) -> JobView:
    """The job as its owner sees it; a large result is read from file storage."""
    result = await sync_to_async(result_of)(job) if job.result_file else job.result
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
        expected_start_seconds=_expected_start(job),
    )


async def accepted(job: Job) -> HttpResponse:
    """202 with `Location` and the job: what a view answers after `submit`."""
    body = (await view(job)).model_dump_json()
    location = {"Location": f"/api/jobs/{job.pk}"}
    return HttpResponse(body, status=202, content_type="application/json", headers=location)


@router.get("", response=JobList, summary="Your jobs, newest first")
async def list_jobs(
    request: HttpRequest,
    status: Status | None = None,
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: UUID | None = None,
) -> JobList:
    mine = Job.objects.filter(owner=caller(request), parent=None)
    counts = {
        name: count
        async for name, count in mine.order_by().values_list("status").annotate(Count("pk"))
    }
    page = mine.filter(status=status) if status else mine
    # The database compares its own times: SQLite's have three digits where Python's have six.
    if cursor:
        then = Subquery(mine.filter(pk=cursor).values("created_at"))
        page = page.filter(Q(created_at__lt=then) | Q(created_at=then, pk__lt=cursor))
    rows = [row async for row in page.order_by("-created_at", "-pk")[: limit + 1]]
    return JobList(
        jobs=[await view(row) for row in rows[:limit]],
        counts={state.value: counts.get(state.value, 0) for state in Status},
        next=rows[limit - 1].pk if len(rows) > limit else None,
    )


@router.get(
    "/{uuid:job_id}",
    response=JobView,
    summary="One job; `Prefer: wait=N` waits N seconds for its end",
)
async def get_job(request: HttpRequest, job_id: UUID) -> JobView:
    job = await submit.find(job_id, caller(request))
    wait = re.search(r"\bwait=(\d+)", request.headers.get("Prefer", ""))
    if wait and not job.final:
        job = await long_poll(job, min(float(wait[1]), LONGEST_WAIT))
    return await view(job)


@router.delete("/{uuid:job_id}", response={202: JobView}, summary="Ask a job to stop")
async def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = await submit.find(job_id, caller(request))
    return await accepted(await submit.cancel(job))


@router.get(
    "/{uuid:job_id}/events", summary="Server-sent events: `progress`, and last how it ended"
)
async def watch_job(request: HttpRequest, job_id: UUID) -> StreamingHttpResponse:
    job = await submit.find(job_id, caller(request))
    # nginx would hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(_events(job), content_type="text/event-stream", headers=headers)


async def _events(job: Job) -> AsyncIterator[bytes]:
    """The state now, then every change until the end; a comment line in long silences."""
    hub = lifespan.hub()
    async with hub.watch(job.pk) as changes:
        yield await _event(job)
        while not job.final:
            try:
                async with asyncio.timeout(conf().idle_stream_heartbeat):
                    await changes.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue
            newest = hub.latest(job.pk)
            if newest is not None and newest.version > job.version:
                job = newest
                yield await _event(job)


async def _event(job: Job) -> bytes:
    name = job.status if job.final else "progress"
    return f"id: {job.version}\nevent: {name}\ndata: {(await view(job)).model_dump_json()}\n\n".encode()


async def long_poll(job: Job, wait: float) -> Job:
    hub = lifespan.hub()
    try:
        async with asyncio.timeout(wait), hub.watch(job.pk) as changes:
            while not job.final:
                await changes.get()
                job = hub.latest(job.pk) or job
    except TimeoutError:
        pass
    return job


def _expected_start(job: Job) -> float | None:
    running = relay.current()
    figures = running.figures.queues.get(job.queue) if running else None
    if job.status != Status.QUEUED or figures is None or not (figures.depth and figures.drain):
        # An empty queue, seen a second ago, may be one of idle workers or of busy ones.
        return None
    return round(figures.depth / figures.drain, 1)
