"""One id leads through the log lines of a web process, of workers, and of lost attempts."""

import json
import os
import signal
from typing import Any

import httpx
import pytest

from .conftest import Lab, execute


def lines_about(lab: Lab, name: str, request_id: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lab.log(name).splitlines() if line.startswith("{")]
    return [line for line in found if line.get("request_id") == request_id]


def test_one_id_leads_from_the_request_to_every_attempt_of_every_part(lab: Lab) -> None:
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    lab.redis()
    workers = ("worker0", "worker1")
    for name in workers:
        lab.worker(name, slots=1, LOG_LEVEL="INFO")
    lab.web(LOG_LEVEL="INFO")
    token = ApiToken.make("lab")[1]
    body = {"logs": [str(lab.folder / f"part{number}") for number in range(2)], "units": 150}
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "the-one"}
    answer = httpx.post(
        f"{lab.address}/api/lab/whole", json=body, headers=headers, trust_env=False, timeout=30
    )
    whole = Job.objects.get(pk=answer.json()["id"])
    parts = Job.objects.filter(parent=whole)
    lab.until(lambda: parts.filter(status="running").count() == 2, "each worker to have a part")
    killed = parts.get(number=1)
    os.kill(killed.pid, signal.SIGKILL)
    lab.reaches(whole, "succeeded")

    (request,) = lines_about(lab, "web", "the-one")
    assert (request["event"], request["status"]) == ("POST /api/lab/whole 202", 202)

    def told() -> set[tuple[str, int, str]]:
        lines = [line for name in workers for line in lines_about(lab, name, "the-one")]
        return {(line["job_id"], line["attempt"], line["event"]) for line in lines}

    # Where the machine stood still, an attempt more was needed.
    attempts = {(str(job.pk), job.attempts) for job in (Job.objects.get(pk=whole.pk), *parts.all())}
    assert parts.get(number=1).attempts > 1
    # A row ends before the worker says so.
    lab.until(
        lambda: attempts <= {line[:2] for line in told() if line[2] == "job succeeded"},
        "the workers to say that all have ended",
    )
    assert all(lines_about(lab, name, "the-one") for name in workers)
    assert any(
        (job_id, attempt) == (str(killed.pk), 1) and "worker lost" in event
        for job_id, attempt, event in told()
    )


def test_what_a_function_logs_has_the_ids_of_its_job(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labyrinth.lab import compute

    from offload.observe.log_context import log_fields

    job = lab.submit("lab.burn", units=1)
    seen: dict[str, Any] = {}
    monkeypatch.setattr(compute, "burn", lambda *_: seen.update(log_fields()) or 7)
    assert execute(job) == "succeeded"
    assert (seen["job_id"], seen["kind"], seen["attempt"]) == (str(job.pk), "lab.burn", 1)
    assert log_fields() == {}


@pytest.mark.parametrize(("sent", "passed_on"), [("the-one", "the-one"), ("a\nb: c", None)])
def test_jobs_and_calls_of_a_job_have_the_id_of_its_request(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, sent: str, passed_on: str | None
) -> None:
    from labyrinth.lab import compute

    from offload.fanout.propagation import propagated_headers
    from offload.jobs.models import Job
    from offload.serving.middleware.request_ids import on_behalf_of

    seen: dict[str, str] = {}

    def submits(*_: Any) -> int:
        seen.update(propagated_headers())
        lab.submit("lab.modest")
        return 7

    job = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=job.pk).update(request_id=sent)
    monkeypatch.setattr(compute, "burn", submits)
    with on_behalf_of("of-the-process"):
        assert execute(job) == "succeeded"
        assert dict(propagated_headers())["x-request-id"] == "of-the-process"
    assert seen.get("x-request-id") == passed_on, "an id that is not sane is in no header"
    assert Job.objects.get(kind="lab.modest").request_id == (passed_on or "")
