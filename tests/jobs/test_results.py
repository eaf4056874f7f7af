"""The result of a job over HTTP: in the job, as a download and in parts, however large it is."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from .conftest import Lab
from .web_process import api as api
from .web_process import succeeded
from .web_process import web as web

MIB = 2**20


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


def test_a_client_that_has_the_result_is_not_sent_it_again(
    web: Lab, api: httpx.Client, stored: Any
) -> None:
    for job in (succeeded(web, {"value": 7}), stored):
        url = f"/api/jobs/{job.pk}/result"
        etag = api.get(url, headers={"Range": "bytes=0-1"}).headers["etag"]
        for known in (etag, f'"another", W/{etag}', "*"):
            answer = api.get(url, headers={"If-None-Match": known, "Range": "bytes=0-1"})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["etag"] == etag
        other = api.get(url, headers={"If-None-Match": '"another", other', "Range": "bytes=0-1"})
        assert (other.status_code, len(other.content)) == (206, 2)


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
