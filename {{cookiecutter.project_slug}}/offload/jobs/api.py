"""The jobs API: read, wait for, watch, cancel and list jobs."""

import re
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from pydantic import BaseModel, Field

from offload.access import caller
from offload.jobs.client import cancel, find, find_light
from offload.jobs.job_result import result_response
from offload.jobs.job_view import JobSummary, JobView, accepted, summary_of, view_of
from offload.jobs.listing import count_by_status, page_of
from offload.jobs.models import Status
from offload.jobs.watch import saw_the_end, start_events, wait_for_end

router = Router(tags=["jobs"])

# Seconds. `Prefer: wait=` asks for more in vain: proxies often end idle requests after 60 s.
MAX_WAIT_SECONDS = 30.0


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    counts: dict[str, int]
    """Your newest 1,000 jobs, by status."""
    next: UUID | None
    """Pass it as `cursor` for the next page; null on the last page."""


@router.get("", response=JobList, summary="Your jobs, newest first")
async def list_jobs(
    request: HttpRequest,
    status: Status | None = None,
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: UUID | None = None,
) -> JobList:
    owner = caller(request)
    # One row more than asked for tells whether there is another page.
    rows = [row async for row in page_of(owner, status, cursor)[: limit + 1]]
    return JobList(
        jobs=[summary_of(row) for row in rows[:limit]],
        counts=await count_by_status(owner),
        next=rows[limit - 1].pk if len(rows) > limit else None,
    )


@router.get(
    "/{uuid:job_id}",
    response=JobView,
    summary="One job; `Prefer: wait=N` waits N seconds for its end",
)
async def get_job(request: HttpRequest, job_id: UUID) -> JobView:
    wait = re.search(r"\bwait=(\d+)", request.headers.get("Prefer", ""))
    if wait:
        job = await find_light(job_id, caller(request))
        # Of many digits the first three are enough to be over the bound.
        await wait_for_end(request, job, min(float(wait[1][:3]), MAX_WAIT_SECONDS))

    return await view_of(await find(job_id, caller(request)))


@router.get(
    "/{uuid:job_id}/result", summary="A succeeded job's result as it is stored; takes `Range`"
)
async def get_result(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    return await result_response(request, await find(job_id, caller(request)))


@router.delete("/{uuid:job_id}", response={202: JobView}, summary="Ask a job to stop")
async def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = await find(job_id, caller(request))
    return await accepted(await cancel(job))


@router.get(
    "/{uuid:job_id}/events", summary="Server-sent events: `progress`, and last how it ended"
)
async def watch_job(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    job = await find_light(job_id, caller(request))
    if saw_the_end(request, job):
        # An EventSource connects again after each end; after a 204 it does not.
        return HttpResponse(status=204)

    # The second header tells nginx not to hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(
        await start_events(request, job), content_type="text/event-stream", headers=headers
    )
