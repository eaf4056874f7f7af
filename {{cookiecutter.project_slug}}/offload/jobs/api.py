"""The jobs API: read, wait for, watch, cancel and list jobs."""

import re
from typing import Annotated
from uuid import UUID

from django.db.models import Count, Q, Subquery
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from pydantic import BaseModel, Field

from offload.access import caller
from offload.jobs.client import cancel, find, find_light
from offload.jobs.job_result import result_response
from offload.jobs.job_view import JobSummary, JobView, accepted, summary_of, view_of
from offload.jobs.models import Job, Status
from offload.jobs.watch import saw_the_end, start_events, wait_for_end

router = Router(tags=["jobs"])

# Seconds. `Prefer: wait=` asks for more in vain: proxies often end idle requests after 60 s.
MAX_WAIT_SECONDS = 30.0
# The newest jobs of an owner that a list counts by status. Over 200,000 rows the count took 0.5 s.
MAX_COUNTED_JOBS = 1000


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
    mine = Job.objects.filter(owner=caller(request), parent=None)
    newest = mine.order_by("-created_at", "-pk").values("pk")[:MAX_COUNTED_JOBS]
    counted = Job.objects.filter(pk__in=newest).order_by().values_list("status")
    counts = {name: count async for name, count in counted.annotate(Count("pk"))}

    page = mine.filter(status=status) if status else mine
    if cursor:
        # The database compares its own times: SQLite's have three digits where Python's have six.
        then = Subquery(mine.filter(pk=cursor).values("created_at"))
        # The first condition says nothing new: with it the index finds the place of the page.
        page = page.filter(created_at__lte=then)
        page = page.filter(Q(created_at__lt=then) | Q(pk__lt=cursor))

    # One row more than asked for tells whether there is another page.
    page = page.defer(*Job.LARGE_FIELDS).order_by("-created_at", "-pk")
    rows = [row async for row in page[: limit + 1]]
    return JobList(
        jobs=[summary_of(row) for row in rows[:limit]],
        counts={state.value: counts.get(state.value, 0) for state in Status},
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
