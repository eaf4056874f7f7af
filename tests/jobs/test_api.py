"""The jobs API of one web process, whose jobs are moved by the test instead of a worker."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest
from postgresql_server import free_port

from .conftest import Lab, new_lab
from .families import claimed
from .test_web_process import gauge

MIB = 2**20
STREAMS_PER_OWNER = 6


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A web process and Redis for all tests of this file."""
    os.environ["PORT"] = str(free_port())
    for lab in new_lab(tmp_path_factory.mktemp("web")):
        lab.redis()
        lab.web(LAB_STREAMS_PER_OWNER=str(STREAMS_PER_OWNER))
        yield lab


@pytest.fixture
def api(web: Lab) -> Iterator[httpx.Client]:
    """A client for the web process, with a token of its own."""
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    _, token = ApiToken.make("lab")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=web.address, headers=headers, timeout=60, trust_env=False) as client:
        yield client
    for model in (ApiToken, Job):
        model.objects.all().delete()


def succeeded(lab: Lab, result: Any, file: str = "") -> Any:
    from offload.jobs import transitions

    ended = transitions.succeed(claimed(lab.submit("lab.burn", units=1).pk), result, file)
    assert ended is not None
    return ended


@pytest.fixture
def stored(web: Lab) -> Iterator[Any]:
    """A job with a result of 64 MB in file storage."""
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    letters = b"0123456789abcdef" * (4 * MIB - 1)
    name = default_storage.save("job-results/large.json", ContentFile(b'"' + letters + b'"'))
    yield succeeded(web, None, name)
    default_storage.delete(name)


def blocks(api: httpx.Client) -> float:
    """How often the guard has seen the event loop blocked."""
    return sum(
        float(line.split()[-1])
        for line in api.get("/metrics").text.splitlines()
        if line.startswith("offload_guard_blocked_seconds_count")
    )


def blocks_nothing(api: httpx.Client, action: Callable[[], None]) -> bool:
    """Whether an action leaves the event loop free. A machine that stops the process for a moment
    blocks it, too; not each of five times.
    """
    for _ in range(5):
        before = blocks(api)
        action()
        if blocks(api) == before:
            return True
    return False


def is_alive(web: Lab) -> bool:
    """Whether a neighbour on another connection gets an answer."""
    url = f"{web.address}/health/live"
    return httpx.get(url, timeout=60, trust_env=False).status_code == 200


def test_no_list_and_no_event_carries_a_result(web: Lab, api: httpx.Client) -> None:
    job = succeeded(web, {"value": 7})
    listed = api.get("/api/jobs").json()["jobs"][0]
    text = api.get(f"/api/jobs/{job.pk}/events").text
    event = json.loads(text.partition("data: ")[2])
    for found in (listed, event):
        assert "result" not in found
        assert found["result_url"] == f"/api/jobs/{job.pk}/result"
    assert api.get(f"/api/jobs/{job.pk}").json()["result"] == {"value": 7}
    assert api.get(listed["result_url"]).json() == {"value": 7}


def test_a_large_result_is_answered_in_pieces_beside_an_undisturbed_neighbour(
    web: Lab, api: httpx.Client, stored: Any
) -> None:
    process = psutil.Process(web.processes["web"].pid)
    api.get("/api/ping")
    before = process.memory_info().rss
    view = api.get(f"/api/jobs/{stored.pk}").json()
    assert (view["result"], view["result_problem"]) == (None, None)

    def download() -> None:
        pings, length, peak = 0, 0, 0
        with api.stream("GET", view["result_url"]) as answer:
            assert answer.headers["content-type"] == "application/json"
            for piece in answer.iter_raw():
                if length // (8 * MIB) != (length + len(piece)) // (8 * MIB):
                    pings += is_alive(web)
                    peak = max(peak, process.memory_info().rss)
                length += len(piece)
        assert length == int(answer.headers["content-length"]) == 64 * MIB - 14
        assert pings >= 7
        # Parsed, the result would be three times its 64 MiB in memory.
        assert peak - before < 24 * MIB

    assert blocks_nothing(api, download)


def test_a_list_of_large_results_reads_none_of_them(
    web: Lab, api: httpx.Client, stored: Any
) -> None:
    from offload.jobs.models import Job

    for _ in range(5):
        succeeded(web, ["x" * 1000] * 900)
    process = psutil.Process(web.processes["web"].pid)
    api.get("/api/jobs")
    before = process.memory_info().rss

    def read_lists() -> None:
        for _ in range(5):
            answer = api.get("/api/jobs", params={"limit": 100})
            assert len(answer.json()["jobs"]) == Job.objects.filter(owner="lab").count()
            assert len(answer.content) < 10_000

    assert blocks_nothing(api, read_lists)
    assert process.memory_info().rss - before < 24 * MIB


@pytest.mark.parametrize(
    ("asked", "status", "body", "says"),
    [
        ("bytes=0-0", 206, "{", "bytes 0-0/11"),
        ("bytes=2-6", 206, "value", "bytes 2-6/11"),
        ("bytes=9-", 206, "7}", "bytes 9-10/11"),
        ("bytes=-2", 206, "7}", "bytes 9-10/11"),
        ("bytes=9-99999999999999999999999", 206, "7}", "bytes 9-10/11"),
        ("bytes=11-", 416, None, "bytes */11"),
        ("bytes=0-1,3-4", 200, '{"value":7}', None),
        ("lines=0-1", 200, '{"value":7}', None),
        ("bytes=-", 200, '{"value":7}', None),
    ],
)
def test_a_part_of_a_result_is_answered(
    web: Lab, api: httpx.Client, asked: str, status: int, body: str | None, says: str | None
) -> None:
    answer = api.get(
        f"/api/jobs/{succeeded(web, {'value': 7}).pk}/result", headers={"Range": asked}
    )
    assert (answer.status_code, answer.headers.get("content-range")) == (status, says)
    if body is not None:
        assert answer.text == body


def test_a_download_that_broke_goes_on_where_it_was(
    web: Lab, api: httpx.Client, stored: Any
) -> None:
    url = f"/api/jobs/{stored.pk}/result"
    etag = api.get(url, headers={"Range": "bytes=0-9"}).headers["etag"]
    rest = api.get(url, headers={"Range": f"bytes={64 * MIB - 20}-", "If-Range": etag})
    assert (rest.status_code, rest.text) == (206, 'bcdef"')
    other = api.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, 64 * MIB - 14)


def test_a_missing_result_file_harms_its_own_job_alone(web: Lab, api: httpx.Client) -> None:
    job = succeeded(web, None, "job-results/somewhere-else.json")
    assert api.get("/api/jobs").status_code == 200
    view = api.get(f"/api/jobs/{job.pk}")
    assert (view.status_code, view.json()["result"]) == (200, None)
    assert "MEDIA_ROOT" in view.json()["result_problem"]
    answer = api.get(view.json()["result_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_job_without_a_result_says_so(web: Lab, api: httpx.Client) -> None:
    job = web.submit("lab.burn", units=1)
    assert api.get(f"/api/jobs/{job.pk}").json()["result_url"] is None
    answer = api.get(f"/api/jobs/{job.pk}/result")
    assert (answer.status_code, "is queued" in answer.json()["detail"]) == (404, True)


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


def watch(api: httpx.Client, job: Any, lines: list[str], **headers: str) -> threading.Thread:
    """Read a job's event stream in a thread, and return when it has begun."""
    begun = threading.Event()

    def read() -> None:
        with api.stream("GET", f"/api/jobs/{job.pk}/events", headers=headers) as stream:
            lines.append(str(stream.status_code))
            begun.set()
            lines.extend(stream.iter_lines())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert begun.wait(30)
    return thread


def test_a_malformed_event_harms_no_stream(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions
    from offload.jobs.services import services

    job = claimed(web.submit("lab.burn", units=1).pk)
    lines: list[str] = []
    reader = watch(api, job, lines)
    redis = web.redis_client()
    web.until(lambda: api.get("/health/ready").json()["events"], "the subscription")
    strange = json.dumps(job.snapshot() | {"version": "next"})
    for message in ("not json", "{}", "[]", "7", "\xff", strange):
        assert redis.publish("labyrinth:jobs", message) == 1
    for name in "ab":
        progressed = transitions.progress(job, 0.5, name)
        assert progressed
        services.events.publish(progressed)
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended
    services.events.publish(ended)
    reader.join(30)
    assert "event: succeeded" in lines
    web.until(
        lambda: gauge(api, "offload_jobs_malformed_events_total") == 6, "all six to be counted"
    )
    assert gauge(api, "offload_jobs_notifier_restarts_total") == 0
    web.until(lambda: "is no event and is ignored" in web.log("web"), "the log to say so")
    assert web.log("web").count("is no event and is ignored") == 1


async def test_a_notifier_that_fails_starts_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    from offload.jobs import notifier

    monkeypatch.setattr(notifier, "RESTART_PAUSE_SECONDS", 0.01)
    made = notifier.Notifier()
    runs, thrice = [], asyncio.Event()

    async def fails() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise KeyError("id")
        thrice.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(made, "_listen", fails)
    task = asyncio.create_task(made.run())
    async with asyncio.timeout(60):
        await thrice.wait()
    assert not task.done()
    task.cancel()


def test_a_stream_has_what_an_event_source_needs(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    seen, fresh = [], []
    readers = [
        watch(api, job, seen, **{"Last-Event-ID": str(job.version)}),
        watch(api, job, fresh, **{"Last-Event-ID": "nonsense"}),
    ]
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended
    for reader in readers:
        reader.join(30)
    assert all("retry: 2000" in lines for lines in (seen, fresh))
    # The first client has seen the state of the begin.
    assert "event: progress" not in seen
    assert "event: progress" in fresh
    assert "event: succeeded" in seen
    assert "event: succeeded" in fresh
    after = api.get(f"/api/jobs/{job.pk}/events", headers={"Last-Event-ID": str(ended.version)})
    assert (after.status_code, after.content) == (204, b"")


def test_the_stream_of_a_job_that_expires_ends(web: Lab, api: httpx.Client) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    lines: list[str] = []
    reader = watch(api, job, lines)
    job.delete()
    reader.join(30)
    assert not reader.is_alive()
    assert [line for line in lines if line.startswith("event: ")] == ["event: progress"]


@pytest.mark.parametrize("way", ["revoked", "expired"])
def test_a_stream_ends_soon_after_its_token_does(web: Lab, api: httpx.Client, way: str) -> None:
    from django.db.models.functions import Now

    from offload.access.models import ApiToken
    from offload.access.tokens import digest

    _, other = ApiToken.make("lab")
    job = claimed(web.submit("lab.burn", units=1).pk)
    ended: list[str] = []
    going: list[str] = []
    reader = watch(api, job, ended)
    with httpx.Client(
        base_url=web.address,
        headers={"Authorization": f"Bearer {other}"},
        timeout=60,
        trust_env=False,
    ) as neighbour:
        other_reader = watch(neighbour, job, going)
        mine = ApiToken.objects.get(digest=digest(api.headers["Authorization"].split()[1]))
        if way == "revoked":
            mine.delete()
        else:
            ApiToken.objects.filter(pk=mine.pk).update(expires_at=Now())
        reader.join(30)
        assert not reader.is_alive()
        assert any(line.startswith(": The token was revoked") for line in ended)
        assert other_reader.is_alive()
        job.delete()
        other_reader.join(30)


def test_a_wait_ends_soon_after_its_token_does(web: Lab, api: httpx.Client) -> None:
    from offload.access.models import ApiToken
    from offload.access.tokens import digest

    job = claimed(web.submit("lab.burn", units=1).pk)
    address = f"/api/jobs/{job.pk}"
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(api.get, address, headers={"Prefer": "wait=25"})
        web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 1, "the wait")
        ApiToken.objects.filter(digest=digest(api.headers["Authorization"].split()[1])).delete()
        answer = waiting.result(60)
    assert answer.status_code == 401
    assert "revoked" in answer.json()["detail"]


def test_one_owners_streams_and_waits_leave_places_for_others(web: Lab, api: httpx.Client) -> None:
    from offload.access.models import ApiToken

    job = claimed(web.submit("lab.burn", units=1).pk)
    readers = [watch(api, job, []) for _ in range(STREAMS_PER_OWNER)]
    for answer in (
        api.get(f"/api/jobs/{job.pk}/events"),
        api.get(f"/api/jobs/{job.pk}", headers={"Prefer": "wait=20"}),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
        assert "6 of your streams and waits" in answer.json()["detail"]

    _, token = ApiToken.make("neighbour")
    theirs = claimed(web.submit("lab.burn", owner="neighbour", units=1).pk)
    waited = httpx.get(
        f"{web.address}/api/jobs/{theirs.pk}",
        headers={"Authorization": f"Bearer {token}", "Prefer": "wait=1"},
        timeout=60,
        trust_env=False,
    )
    assert (waited.status_code, waited.json()["status"]) == (200, "running")
    job.delete()
    for reader in readers:
        reader.join(30)
    another = claimed(web.submit("lab.burn", units=1).pk)
    answer = api.get(f"/api/jobs/{another.pk}", headers={"Prefer": "wait=1"})
    assert answer.status_code == 200, "the places are free again"


def test_a_long_poll_takes_a_streams_place_and_no_requests(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    answers: list[httpx.Response] = []

    def poll() -> None:
        answers.append(api.get(f"/api/jobs/{job.pk}", headers={"Prefer": "wait=30"}))

    pollers = [threading.Thread(target=poll) for _ in range(4)]
    for poller in pollers:
        poller.start()
    web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 4, "four waits")
    web.until(lambda: gauge(api, "offload_serving_requests_in_flight") <= 1, "no requests")
    web.until(lambda: gauge(api, "offload_serving_threads_lent") == 0, "no threads")
    assert transitions.succeed(job, {"value": 1}, "")
    for poller in pollers:
        poller.join(30)
    assert [answer.json()["result"] for answer in answers] == [{"value": 1}] * 4
    web.until(lambda: gauge(api, "offload_serving_streams_in_flight") == 0, "no streams")


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


def failed_job(web: Lab, **values: Any) -> Any:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1, **values).pk)
    assert transitions.fail(job, "the disk is full")
    return job


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


def test_a_watcher_sees_a_retry_and_what_follows(web: Lab, api: httpx.Client) -> None:
    from offload.jobs import transitions
    from offload.jobs.control import retry_job

    job = failed_job(web)
    assert "event: failed" in api.get(f"/api/jobs/{job.pk}/events").text
    with api.stream("GET", f"/api/jobs/{retry_job(job.pk, 'staff').pk}/events") as stream:
        lines = stream.iter_lines()
        assert any(line == "event: progress" for line in lines)
        transitions.succeed(claimed(job.pk), {"value": 1}, "")
        assert any(line == "event: succeeded" for line in lines)


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
