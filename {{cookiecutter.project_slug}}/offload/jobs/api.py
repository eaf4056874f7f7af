"""The jobs API: read, wait for, watch, cancel and list jobs."""

import re
from functools import partial
from typing import Annotated
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from pydantic import BaseModel, Field

from offload.access import caller
from offload.jobs.admission import admit_retry
from offload.jobs.client import cancel, discard, find, find_summary, retry
from offload.jobs.control import (
    Action,
    FailureGroup,
    discard_job,
    failed_jobs,
    for_each,
    group_failures,
    no_such_job,
    retry_job,
)
from offload.jobs.job_result import result_response
from offload.jobs.job_view import JobSummary, JobView, accepted, summary_of, view_of
from offload.jobs.listing import count_by_status, expired_cursor, page_of
from offload.jobs.models import FINAL, Job, Status
from offload.jobs.watch import saw_the_end, start_events, wait_for_end
from offload.problems import Problem

router = Router(tags=["jobs"])

# For the API's document: what django-ninja cannot know of responses that are no model.
RESULT = {
    "parameters": [
        {"in": "header", "name": "Range", "schema": {"type": "string"}, "example": "bytes=0-1023"}
    ],
    "responses": {
        200: {"content": {"application/json": {"schema": {}}}},
        206: {"description": "the part that was asked for", "content": {"application/json": {}}},
    },
}
EVENTS = {
    "responses": {
        # The schema is that of one event.
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "string", "description": "for `Last-Event-ID`"},
                            "event": {"enum": ["progress", *FINAL]},
                            "data": {
                                "type": "string",
                                "contentMediaType": "application/json",
                                "contentSchema": {"$ref": "#/components/schemas/JobSummary"},
                            },
                            "retry": {"type": "integer", "description": "milliseconds"},
                        },
                        "required": ["id", "event", "data"],
                    }
                }
            }
        },
        204: {"description": "the caller has seen the last event"},
    },
}

# Jobs that one request retries or discards. One takes some 10 ms.
MAX_SELECTED_JOBS = 100

# Seconds. `Prefer: wait=` asks for more in vain: proxies often end idle requests after 60 s.
MAX_WAIT_SECONDS = 30.0


class JobList(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobSummary]
    counts: dict[str, int]
    """Your newest 1,000 jobs, by status."""
    next: UUID | None
    """Pass it as `cursor` for the next page; null on the last page."""


class SelectionByIds(BaseModel, extra="forbid"):
    """Several of your jobs, by their ids."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_SELECTED_JOBS)]


class SelectionByKind(BaseModel, extra="forbid"):
    """Your newest failed jobs of a type, perhaps only those with one error."""

    kind: Annotated[str, Field(min_length=1)]
    error: Annotated[str, Field(min_length=1)] | None = None
    """As `error` of one of them."""


Selection = SelectionByIds | SelectionByKind


class Refusal(BaseModel):
    """A job with which nothing was done."""

    id: UUID
    detail: str


class SelectionOutcome(BaseModel):
    """What has become of several jobs."""

    done: int
    refused: list[Refusal]
    more: bool
    """Whether there are more failed jobs of this type: a request takes the newest 100."""


@router.get("", response={200: JobList, 404: None}, summary="Your jobs, newest first")
async def list_jobs(
    request: HttpRequest,
    status: Status | None = None,
    limit: Annotated[int, Field(ge=1, le=100)] = 20,
    cursor: UUID | None = None,
) -> JobList:
    owner = caller(request)
    # One row more than asked for tells whether there is another page.
    rows = [row async for row in page_of(owner, status, cursor)[: limit + 1]]
    if cursor is not None and not rows and await expired_cursor(owner, cursor):
        raise Problem(
            404,
            f"no job {cursor}, at which this page begins: it never existed, it has expired, or it "
            f"is another owner's. Begin again without a cursor",
        )
    return JobList(
        jobs=[summary_of(row) for row in rows[:limit]],
        counts=await count_by_status(owner),
        next=rows[limit - 1].pk if len(rows) > limit else None,
    )


@router.get("/failures", response=list[FailureGroup], summary="What failed and why, by number")
async def list_failures(request: HttpRequest) -> list[FailureGroup]:
    """Of your newest 10,000 failed jobs, the 100 largest groups."""
    return await sync_to_async(group_failures)(failed_jobs(owner=caller(request)))


@router.post("/retry", response=SelectionOutcome, summary="Retry several of your jobs")
async def retry_jobs(request: HttpRequest, selection: Selection) -> SelectionOutcome:
    return await _do_with_each(partial(retry_job, admit=admit_retry), selection, caller(request))


@router.post("/discard", response=SelectionOutcome, summary="Delete several finished jobs")
async def discard_jobs(request: HttpRequest, selection: Selection) -> SelectionOutcome:
    return await _do_with_each(discard_job, selection, caller(request))


@router.get(
    "/{uuid:job_id}",
    response=JobView,
    summary="One job; `Prefer: wait=N` waits N seconds for its end",
)
async def get_job(request: HttpRequest, job_id: UUID) -> JobView:
    wait = re.search(r"\bwait=(\d+)", request.headers.get("Prefer", ""))
    if wait:
        job = await find_summary(job_id, caller(request))
        if not job.final:
            # Of many digits the first three are enough to be over the bound.
            seconds = min(float(wait[1][:3]), MAX_WAIT_SECONDS)
            return await view_of(await wait_for_end(request, job, seconds))

    return await view_of(await find(job_id, caller(request)))


@router.get(
    "/{uuid:job_id}/result",
    response={200: None, 304: None, 416: None},
    summary="A succeeded job's result as it is stored; takes `Range` and `If-None-Match`",
    openapi_extra=RESULT,
)
async def get_result(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    return await result_response(request, await find(job_id, caller(request)))


@router.delete("/{uuid:job_id}", response={202: JobView}, summary="Ask a job to stop")
async def cancel_job(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = await find(job_id, caller(request))
    return await accepted(await cancel(job))


@router.post(
    "/{uuid:job_id}/retry", response={202: JobView}, summary="Queue a failed or cancelled job again"
)
async def post_retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = await find_summary(job_id, caller(request))
    return await accepted(await retry(job))


@router.post(
    "/{uuid:job_id}/discard", response={204: None, 409: None}, summary="Delete a finished job"
)
async def post_discard(request: HttpRequest, job_id: UUID) -> HttpResponse:
    await discard(await find_summary(job_id, caller(request)))
    return HttpResponse(status=204)


@router.get(
    "/{uuid:job_id}/events",
    response={200: None, 204: None},
    summary="Server-sent events: `progress`, and last how it ended",
    openapi_extra=EVENTS,
)
async def watch_job(request: HttpRequest, job_id: UUID) -> HttpResponseBase:
    job = await find_summary(job_id, caller(request))
    if saw_the_end(request, job):
        # An EventSource connects again after each end; after a 204 it does not.
        return HttpResponse(status=204)

    # The second header tells nginx not to hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(
        await start_events(request, job), content_type="text/event-stream", headers=headers
    )


async def _do_with_each(action: Action, selection: Selection, owner: str) -> SelectionOutcome:
    ids = selection.ids if isinstance(selection, SelectionByIds) else []
    rows = (
        failed_jobs(kind=selection.kind, error=selection.error or "", owner=owner)
        if isinstance(selection, SelectionByKind)
        else Job.objects.filter(owner=owner, pk__in=ids)
    )
    # One more than is taken tells whether there are more.
    found = [pk async for pk in rows.values_list("pk", flat=True)[: MAX_SELECTED_JOBS + 1]]

    outcome = await sync_to_async(for_each)(action, found[:MAX_SELECTED_JOBS], owner)
    missing = set(ids).difference(found)
    outcome.refused |= {job_id: no_such_job(job_id).detail for job_id in missing}
    return SelectionOutcome(
        done=len(outcome.done),
        refused=[Refusal(id=pk, detail=detail) for pk, detail in outcome.refused.items()],
        more=len(found) > MAX_SELECTED_JOBS,
    )
