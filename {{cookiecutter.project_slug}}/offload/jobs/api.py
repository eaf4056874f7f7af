"""The jobs API: read, wait for, watch, cancel and list jobs."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from django.db.models import Count, Q, Subquery
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Router
from pydantic import BaseModel, Field

from offload.access import caller
from offload.conf import conf
from offload.jobs.client import cancel, find
from offload.jobs.job_view import JobView, accepted, view_of
from offload.jobs.models import Job, Status
from offload.jobs.services import services

router = Router(tags=["jobs"])

# Seconds. `Prefer: wait=` asks for more in vain: proxies often end idle requests after 60 s.
MAX_WAIT_SECONDS = 30.0


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobView]
    counts: dict[str, int]
    next: UUID | None
    """Pass it as `cursor` for the next page; null on the last page."""


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
    if cursor:
        # The database compares its own times: SQLite's have three digits where Python's have six.
        then = Subquery(mine.filter(pk=cursor).values("created_at"))
        page = page.filter(Q(created_at__lt=then) | Q(created_at=then, pk__lt=cursor))

    # One row more than asked for tells whether there is another page.
    rows = [row async for row in page.order_by("-created_at", "-pk")[: limit + 1]]
    return JobList(
        jobs=[await view_of(row) for row in rows[:limit]],
        counts={state.value: counts.get(state.value, 0) for state in Status},
        next=rows[limit - 1].pk if len(rows) > limit else None,
    )


@router.get(
    "/{uuid:job_id}",
    response=JobView,
    summary="One job; `Prefer: wait=N` waits N seconds for its end",
)
async def get_job(request: HttpRequest, job_id: UUID) -> JobView:
    job = await find(job_id, caller(request))

    wait = re.search(r"\bwait=(\d+)", request.headers.get("Prefer", ""))
    if wait and not job.final:
        job = await _wait_for_end(job, min(float(wait[1]), MAX_WAIT_SECONDS))

    return await view_of(job)


@router.delete("/{uuid:job_id}", response={202: JobView}, summary="Ask a job to stop")
async def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = await find(job_id, caller(request))
    return await accepted(await cancel(job))


@router.get(
    "/{uuid:job_id}/events", summary="Server-sent events: `progress`, and last how it ended"
)
async def watch_job(request: HttpRequest, job_id: UUID) -> StreamingHttpResponse:
    job = await find(job_id, caller(request))
    # The second header tells nginx not to hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(_events(job), content_type="text/event-stream", headers=headers)


async def _wait_for_end(job: Job, seconds: float) -> Job:
    """The job at its end, or as it is after `seconds`."""
    notifier = services.watching()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), notifier.watch(job.pk) as changes:
            while not job.final:
                await changes.get()
                job = notifier.latest(job.pk) or job
    return job


async def _events(job: Job) -> AsyncIterator[bytes]:
    """The state now, then every change until the end; a comment line in long silences."""
    notifier = services.watching()
    async with notifier.watch(job.pk) as changes:
        yield await _event(job)

        while not job.final:
            try:
                async with asyncio.timeout(conf().idle_stream_heartbeat):
                    await changes.get()
            except TimeoutError:
                yield b": still here\n\n"
                continue

            newest = notifier.latest(job.pk)
            if newest is not None and newest.version > job.version:
                job = newest
                yield await _event(job)


async def _event(job: Job) -> bytes:
    name = job.status if job.final else "progress"
    data = (await view_of(job)).model_dump_json()
    return f"id: {job.version}\nevent: {name}\ndata: {data}\n\n".encode()
