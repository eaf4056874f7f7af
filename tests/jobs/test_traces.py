"""One trace leads from a request to every attempt of every job that comes of it.

The collector is `otlp_receiver.py`, which reads what real processes send.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest
from otlp_receiver import Receiver

from .conftest import Lab, execute
from .traced import CALLER, TRACE_ID, attempts, authorization, get
from .traced import receiver as receiver
from .traced import spans as spans


def lines_with(lab: Lab, name: str, trace_id: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lab.log(name).splitlines() if line.startswith("{")]
    return [line for line in found if line.get("trace_id") == trace_id]


def test_one_trace_leads_from_the_request_to_every_attempt_of_every_job(
    lab: Lab, receiver: Receiver
) -> None:
    from offload.jobs.models import Job

    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "LOG_LEVEL": "INFO"}
    workers = ("worker0", "worker1")
    lab.redis()
    for name in workers:
        lab.worker(name, slots=2, **traced)
    lab.web(**traced)
    logs = [str(lab.folder / f"part{number}") for number in range(2)]
    answer = httpx.post(
        f"{lab.address}/api/lab/traced",
        json={"logs": logs, "units": 1, "gate": str(lab.gate)},
        headers={**authorization(), "traceparent": CALLER},
        trust_env=False,
        timeout=60,
    )
    assert answer.status_code == 202, answer.text
    whole = Job.objects.get(pk=answer.json()["id"])
    stumbling = Job.objects.get(kind="lab.stumbling")
    # What a killed process has not sent is lost.
    lab.reaches(stumbling, "succeeded")
    stumbled = Job.objects.filter(parent=stumbling)
    lab.until(lambda: all(len(attempts(receiver, part)) == 2 for part in stumbled), "their spans")
    parts = Job.objects.filter(parent=whole)
    lab.until(lambda: parts.filter(status="running").count() == 2, "both parts to run")
    killed = parts.get(number=1)
    os.kill(killed.pid, signal.SIGKILL)
    lab.until(lambda: parts.get(number=1).attempts == 2, "the second attempt of the killed part")
    lab.gate.touch()
    lab.reaches(whole, "succeeded")
    told = Job.objects.filter(kind="lab.told", status="succeeded")
    lab.until(told.exists, "the callback")
    # Each process sends its own spans.
    followers = [told.get(), Job.objects.get(kind="lab.increment"), whole, *parts]
    lab.until(lambda: all(attempts(receiver, job) for job in followers), "the last spans")
    lab.until(lambda: len(attempts(receiver, killed)) == 2, "both attempts of the killed part")

    # All but a periodic job is in the caller's trace, and the attempts are children of the request.
    strangers = [span for span in receiver.spans if span.trace_id != TRACE_ID]
    attempted = {span.name for span in strangers if "db.operation.name" not in span.attributes}
    assert attempted <= {"job lab.tick"}
    (request,) = receiver.named("POST api/lab/traced")
    assert request.parent_id == CALLER.split("-")[2]
    assert request.attributes["http.response.status_code"] == 202
    ours = [span for span in receiver.spans if span.trace_id == TRACE_ID]
    of_jobs = [span for span in ours if "offload.job.id" in span.attributes]
    assert {span.parent_id for span in of_jobs} == {request.span_id}
    # A statement is a child of the request or the attempt that waits for it.
    written = [span for span in ours if span.name == "INSERT offload_job"]
    assert {span.parent_id for span in written} >= {request.span_id}
    ended = [span for span in ours if span.name == "UPDATE offload_job"]
    assert {span.parent_id for span in ended} & {span.span_id for span in of_jobs}

    # The upstream was tried again.
    tries = receiver.named("GET nowhere")
    assert {span.parent_id for span in tries} == {request.span_id}
    assert {span.attributes.get("http.request.resend_count") for span in tries} >= {None, 1}
    assert {span.attributes["error.type"] for span in tries} == {"ConnectError"}
    calls = [found for name, found in request.events if name == "upstream.call"]
    assert [(call["offload.outcome"], call["offload.attempts"]) for call in calls] == [
        ("error", len(tries))
    ]

    # Every attempt of every job has its span, in the process that made it.
    of_killed = attempts(receiver, killed)
    assert of_killed[1].attributes["offload.job.interrupted"] == "worker_lost"
    assert (of_killed[1].is_error, of_killed[2].is_error) == (True, False)
    assert of_killed[1].attributes["process.pid"] == killed.pid
    for part in stumbled:
        found = attempts(receiver, part)
        assert (found[1].is_error, found[2].is_error) == (True, False)
        assert found[1].attributes["error.type"] == "builtins.ConnectionError"
        assert found[1].attributes["offload.job.status"] == "queued"
    kinds = {span.attributes["offload.job.kind"] for span in of_jobs}
    assert kinds >= {"lab.whole", "lab.burn", "lab.stumble", "lab.increment", "lab.told"}
    assert {span.resource["service.name"] for span in receiver.spans} == {"labyrinth"}
    assert not any("s3cr3t" in repr(span) or "/path" in repr(span) for span in receiver.spans)

    # And the log lines of all of them have its id.
    (line,) = lines_with(lab, "web", TRACE_ID)[-1:]
    assert line["event"] == "POST /api/lab/traced 202"
    assert all(lines_with(lab, name, TRACE_ID) for name in workers)
    lines = [line for name in workers for line in lines_with(lab, name, TRACE_ID)]
    told_of = {(line.get("job_id"), line.get("attempt"), line["event"]) for line in lines}
    assert any(
        (job_id, attempt) == (str(killed.pk), 1) and "worker lost" in event
        for job_id, attempt, event in told_of
    )
    assert (str(killed.pk), 2, "job succeeded") in told_of


def test_requests_are_named_after_their_routes_and_fail_without_the_text_of_the_error(
    lab: Lab, receiver: Receiver
) -> None:
    lab.redis()
    web = lab.web(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_SERVICE_NAME="desk")
    headers = authorization()
    assert get(lab, "/api/lab/fail?token=s3cr3t", **headers).status_code == 500
    missing = "11111111-1111-4111-8111-111111111111"
    assert get(lab, f"/api/jobs/{missing}", **headers).status_code == 404
    assert get(lab, "/no/such/path").status_code == 404
    assert get(lab, "/admin/login/").status_code == 200
    web.send_signal(signal.SIGTERM)
    web.wait(60)

    statements = [span for span in receiver.spans if "db.operation.name" in span.attributes]
    assert {span.name for span in statements} >= {"SELECT offload_api_token", "SELECT offload_job"}
    by_name = {span.name: span for span in receiver.spans if span not in statements}
    assert set(by_name) == {"GET api/lab/fail", "GET api/jobs/<uuidstr:job_id>", "GET"} | {
        "GET admin/login/"
    }
    failed = by_name["GET api/lab/fail"]
    (exception,) = [found for name, found in failed.events if name == "exception"]
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "builtins.RuntimeError")
    assert "in fail" in exception["exception.stacktrace"]
    assert not any(span.is_error for span in receiver.spans if span is not failed)
    assert {span.resource["service.name"] for span in receiver.spans} == {"desk"}
    assert "s3cr3t" not in repr(receiver.spans)
    assert missing not in repr(receiver.spans)
    # The probes that waited for the start are in no trace.
    assert not any("health" in span.name for span in receiver.spans)


@pytest.mark.parametrize("age", [timedelta(0), timedelta(hours=2)])
def test_an_attempt_is_a_child_of_a_near_request_and_has_a_link_to_a_far_one(
    lab: Lab, spans: list[Any], age: timedelta
) -> None:
    from django.utils import timezone

    from offload.jobs.models import Job
    from offload.observe.tracing import tracing

    with tracing.attached(tracing.begin("GET", "SERVER")):
        job = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - age)
    assert execute(job) == "succeeded"
    request, attempt = spans
    submitted = [event for event in request.events if event.name == "job.submitted"]
    assert submitted[0].attributes["offload.job.ids"] == (str(job.pk),)
    assert attempt.attributes["offload.job.status"] == "succeeded"
    if age:
        assert attempt.parent is None
        assert [link.context.span_id for link in attempt.links] == [request.context.span_id]
    else:
        assert attempt.parent.span_id == request.context.span_id
        assert not attempt.links


def test_a_failed_job_has_the_type_and_place_of_its_error_and_not_its_text(
    lab: Lab, spans: list[Any]
) -> None:
    from offload.jobs.worker.executor import JobFailed

    job = lab.submit("lab.raise", way="a secret")
    with pytest.raises(JobFailed):
        execute(job)
    (attempt,) = spans
    assert attempt.status.status_code.name == "ERROR"
    assert attempt.attributes["error.type"] == "builtins.RuntimeError"
    assert attempt.attributes["offload.job.status"] == "failed"
    assert [event.name for event in attempt.events] == ["exception"]
    assert "s3cr3t" not in attempt.to_json()


def test_jobs_that_are_killed_or_handed_back_have_spans_too(lab: Lab, receiver: Receiver) -> None:
    lab.redis()
    worker = lab.worker(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    late = lab.submit("lab.limited", units=1, gate=str(lab.gate))
    kept = lab.submit("lab.silent", units=1, gate=str(lab.gate))
    lab.computes(kept)
    lab.reaches(late, "failed")
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)

    (ended,) = attempts(receiver, late).values()
    (handed_back,) = attempts(receiver, kept).values()
    # Either the soft limit came through, or the process was killed.
    assert ended.is_error
    assert ended.attributes["offload.job.status"] == "failed"
    assert handed_back.attributes["offload.job.interrupted"] == "handed_back"
    assert handed_back.attributes["offload.job.status"] == "queued"
    assert not handed_back.is_error
    assert handed_back.ended_at > handed_back.began_at


def test_no_span_is_lost_where_a_process_is_replaced_after_each_job(
    lab: Lab, receiver: Receiver
) -> None:
    lab.redis()
    options = ("-Q", "cpu,default", "-c", "2", "--max-tasks-per-child", "1")
    lab.start(
        *("worker", sys.executable, "-m", "offload.jobs", *options),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
    )
    jobs = [lab.submit("lab.burn", units=1) for _ in range(10)]
    for job in jobs:
        lab.reaches(job, "succeeded")
    lab.until(lambda: all(attempts(receiver, job) for job in jobs), "their spans")
    assert len({attempts(receiver, job)[1].attributes["process.pid"] for job in jobs}) == 10


def test_an_unsampled_trace_has_no_spans_and_its_id_goes_along(lab: Lab, spans: list[Any]) -> None:
    from offload.observe.tracing import sampled_trace_id, tracing

    unsampled = CALLER[:-1] + "0"
    caller = tracing.remote({"traceparent": unsampled})
    with tracing.attached(tracing.begin("GET", "SERVER", caller)):
        assert tracing.current() is None
        assert tracing.trace_id() == ""
        job = lab.submit("lab.burn", units=1)
    assert job.traceparent.startswith(f"00-{TRACE_ID}-")
    assert sampled_trace_id(job.traceparent) == ""
    assert execute(job) == "succeeded"
    assert spans == []


@pytest.mark.parametrize("sent", ["", "x", "00-0-0-01", "ff-" + CALLER[3:], "\x00" * 600, "é"])
def test_a_mangled_header_begins_a_trace_of_its_own(spans: list[Any], sent: str) -> None:
    from offload.observe.tracing import tracing

    assert tracing.remote({"traceparent": sent, "tracestate": sent}) is None


def test_a_statement_has_a_span_without_what_a_caller_sent(spans: list[Any]) -> None:
    from django.db import DatabaseError, connection

    from offload.jobs.models import Job
    from offload.observe.traced_queries import _trace_connection
    from offload.observe.tracing import tracing

    _trace_connection(connection)
    try:
        Job.objects.filter(owner="before").exists()
        with tracing.attached(tracing.begin("request", "SERVER")):
            Job.objects.filter(owner="secret").exists()
            with suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("WRONG 'secret'")
        Job.objects.filter(owner="after").exists()
    finally:
        connection.execute_wrappers.clear()

    *statements, request = spans
    assert [span.name for span in statements] == ["SELECT offload_job", "_OTHER"]
    assert {span.parent.span_id for span in statements} == {request.context.span_id}
    errors = [span.attributes.get("error.type") for span in statements]
    assert errors == [None, f"django.db.utils.{wrong_statement()}"]
    assert "secret" not in "".join(span.to_json() for span in statements)


def wrong_statement() -> str:
    """Django's error for a statement that is no SQL."""
    from django.db import connection

    return {"sqlite": "OperationalError", "postgresql": "ProgrammingError"}[connection.vendor]
