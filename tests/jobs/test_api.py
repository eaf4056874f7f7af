"""The jobs API of one web process: lists, refusals, and what an owner does by hand."""

import asyncio
import gc
import json
import weakref
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncRequestFactory
from django.urls import resolve

from .conftest import Lab
from .web_process import api as api
from .web_process import failed_job
from .web_process import web as web


def test_the_pages_of_a_list_have_every_job_once(web: Lab, api: httpx.Client) -> None:
    made = {str(web.submit("lab.burn", units=1).pk) for _ in range(7)}
    pages, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = api.get("/api/jobs", params=params).json()
        pages.append([job["id"] for job in page["jobs"]])
        cursor = page["next"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [3, 3, 1]
    assert {name for page in pages for name in page} == made
    assert page["counts"]["queued"] == 7


# A lone surrogate is no JSON; NUL is, but no text of PostgreSQL.
@pytest.mark.parametrize(("text", "status"), [("\x00", 422), ("\ud800", 400)])
def test_what_no_database_can_store_is_refused(
    web: Lab, api: httpx.Client, text: str, status: int
) -> None:
    body = json.dumps({"log": text, "units": 1}).encode()
    answer = api.post("/api/lab/burn", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_long_request_id_is_accepted(web: Lab, api: httpx.Client) -> None:
    headers = {"X-Request-ID": "r" * 128}
    answer = api.post("/api/lab/burn", json={"log": "/dev/null", "units": 1}, headers=headers)
    assert answer.status_code == 202


def test_an_owner_retries_and_discards_his_jobs_only(web: Lab, api: httpx.Client) -> None:
    job, foreign = failed_job(web), failed_job(web, owner="another")
    for action in ("retry", "discard"):
        assert api.post(f"/api/jobs/{foreign.pk}/{action}").status_code == 404

    answer = api.post(f"/api/jobs/{job.pk}/retry")
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/jobs/{job.pk}")
    assert (answer.json()["status"], answer.json()["error"]) == ("queued", None)
    again = api.post(f"/api/jobs/{job.pk}/retry")
    assert again.status_code == 409
    assert "is queued: only a failed or cancelled job can be retried" in again.json()["detail"]
    assert api.post(f"/api/jobs/{job.pk}/discard").status_code == 409

    api.delete(f"/api/jobs/{job.pk}")
    assert api.post(f"/api/jobs/{job.pk}/discard").status_code == 204
    assert api.get(f"/api/jobs/{job.pk}").status_code == 404


def test_an_owner_sees_what_failed_and_retries_it_by_its_reason(
    web: Lab, api: httpx.Client
) -> None:
    for _ in range(3):
        failed_job(web)
    foreign = failed_job(web, owner="another")
    group = api.get("/api/jobs/failures").json()[0]
    assert (group["kind"], group["error"], group["count"]) == ("lab.burn", "the disk is full", 3)

    chosen = {"kind": group["kind"], "error": group["error"]}
    answer = api.post("/api/jobs/retry", json=chosen)
    assert answer.json() == {"done": 3, "refused": [], "more": False}
    assert api.get("/api/jobs/failures").json() == []
    foreign.refresh_from_db()
    assert foreign.status == "failed"


def test_an_owner_discards_several_jobs_by_their_ids(web: Lab, api: httpx.Client) -> None:
    jobs = [failed_job(web), web.submit("lab.burn", units=1), failed_job(web, owner="another")]
    answer = api.post("/api/jobs/discard", json={"ids": [str(job.pk) for job in jobs]}).json()
    assert (answer["done"], answer["more"]) == (1, False)
    reasons = {refusal["id"]: refusal["detail"] for refusal in answer["refused"]}
    assert "cancel it before you discard it" in reasons[str(jobs[1].pk)]
    assert "it is another owner's" in reasons[str(jobs[2].pk)]


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"kind": "a", "ids": ["6" * 32]}, {"error": "a"}, {"ids": ["6" * 32] * 101}],
)
def test_a_selection_that_says_nothing_or_too_much_is_refused(
    api: httpx.Client, body: dict[str, Any]
) -> None:
    assert api.post("/api/jobs/retry", json=body).status_code == 422


def test_a_job_says_from_when_a_worker_may_begin_it(web: Lab, api: httpx.Client) -> None:
    from datetime import UTC, datetime, timedelta

    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    burn = find_job_type("lab.burn")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    params = burn.params(log="/dev/null")
    job = submit_sync(burn, params, owner="lab", run_at=tomorrow)
    view = api.get(f"/api/jobs/{job.pk}").json()
    assert datetime.fromisoformat(view["due_at"]) - tomorrow < timedelta(seconds=1)
    assert view["expected_start_seconds"] is None


def test_a_page_whose_place_has_expired_says_so(web: Lab, api: httpx.Client) -> None:
    from offload.jobs.control import discard_job

    jobs = [failed_job(web) for _ in range(3)]
    page = api.get("/api/jobs", params={"limit": 2}).json()
    assert page["next"] == str(jobs[1].pk)
    discard_job(jobs[1].pk, "the tests")
    gone = api.get("/api/jobs", params={"cursor": page["next"]})
    assert gone.status_code == 404
    assert "Begin again without a cursor" in gone.json()["detail"]
    # The end of a list is no error.
    last = api.get("/api/jobs", params={"cursor": str(jobs[0].pk)})
    assert (last.status_code, last.json()["jobs"]) == (200, [])


def test_the_document_is_made_once_for_each_path_of_the_service(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers may ask for it, and it takes long to make."""
    from django.test import Client
    from django.urls import set_script_prefix

    from config.urls import api as ninja_api

    made: list[str] = []
    kind = type(ninja_api)
    make = kind.get_openapi_schema

    def counted(self: Any, **named: Any) -> Any:
        made.append("document")
        return make(self, **named)

    monkeypatch.setattr(kind, "get_openapi_schema", counted)
    try:
        for prefix in ("/one/", "/two/", "/one/"):
            set_script_prefix(prefix)
            answer = Client().get("/api/openapi.json")
            assert f"{prefix}api/jobs" in answer.json()["paths"]
            assert answer["Content-Type"] == "application/json"
    finally:
        set_script_prefix("/")
    assert len(made) == 2


async def test_a_body_with_faults_leaves_nothing_to_the_garbage_collector() -> None:
    from offload.access.models import ApiToken

    row, token = await sync_to_async(ApiToken.make)("ann")

    async def refused() -> "weakref.ref[Any]":
        request = AsyncRequestFactory().post(
            "/api/lab/burn",
            b"{}",
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        response = await resolve(request.path).func(request)
        assert response.status_code == 422
        return weakref.ref(request)

    gc.disable()
    try:
        kept = await asyncio.create_task(refused())
        assert kept() is None
    finally:
        gc.enable()
        await row.adelete()
