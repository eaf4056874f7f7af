"""One trace leads from a request to all that comes of it, and no collector costs anybody anything.

The collector is `otlp_receiver.py`, which reads what real processes send.
"""

import json
import logging
import os
import random
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from queue import Queue
from typing import Any

import httpx
import pytest
from otlp_receiver import ReceivedSpan, Receiver, receiving, tracing_or_skip
from postgresql_server import free_port

from .conftest import Lab, execute

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def spans() -> Iterator[list[Any]]:
    """Trace in this process, as a worker does; the spans that have ended."""
    tracing_or_skip()
    from offload.observe.tracer import Tracer
    from offload.observe.tracing import tracing

    ended: list[Any] = []
    tracing._tracer = Tracer("lab", ended.append)
    yield ended
    tracing._tracer = None


def get(lab: Lab, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{lab.address}{path}", headers=headers, trust_env=False, timeout=60)


def authorization() -> dict[str, str]:
    from offload.access.models import ApiToken

    return {"Authorization": f"Bearer {ApiToken.make('lab')[1]}"}


def attempts(receiver: Receiver, job: Any) -> dict[int, ReceivedSpan]:
    """The spans of a job's attempts by their numbers."""
    return {
        span.attributes["offload.job.attempt"]: span
        for span in receiver.spans
        if span.attributes.get("offload.job.id") == str(job.pk)
    }


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


def test_without_the_variables_nothing_that_traces_is_imported(lab: Lab) -> None:
    tracing_or_skip()
    lab.redis()
    lab.web()
    imported = get(lab, "/api/lab/modules", **authorization(), traceparent=CALLER).json()
    assert "offload.observe.tracing" in imported
    # redis-py imports the metrics of OpenTelemetry where it finds them.
    tracers = (
        *("offload.observe.tracer", "offload.observe.collector"),
        *("opentelemetry.exporter", "opentelemetry.sdk.trace"),
    )
    assert [name for name in imported if name.startswith(tracers)] == []


@pytest.mark.parametrize("way", ["dead", "frozen"])
def test_a_collector_that_is_away_costs_no_request_and_no_job_and_no_stop(
    lab: Lab, way: str
) -> None:
    tracing_or_skip()
    with socket.socket() as frozen:
        # It accepts connections, and reads nothing.
        frozen.bind(("127.0.0.1", 0))
        frozen.listen(100)
        port = frozen.getsockname()[1] if way == "frozen" else free_port()
        traced = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            # The whole time of the exporter for one batch.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        }
        lab.redis()
        lab.worker(**traced)
        web = lab.web(**traced)
        headers = authorization()
        job = lab.submit("lab.burn", units=1)
        for _ in range(20):
            assert get(lab, "/api/lab/modules", **headers).status_code == 200
        lab.reaches(job, "succeeded")

        def dropped() -> float:
            lines = get(lab, "/metrics").text.splitlines()
            name = "offload_trace_spans_dropped_total "
            return sum(float(line.split()[1]) for line in lines if line.startswith(name))

        lab.until(lambda: dropped() >= 20, "the spans to be dropped and counted")
        assert lab.log("web").count("The collector of traces takes no spans") == 1
        assert "opentelemetry" not in lab.log("web"), "the exporter's own lines are not wanted"
        for process in (web, lab.processes["worker"]):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) is not None


def test_a_queue_takes_a_bounded_number_and_waits_for_nobody() -> None:
    from offload.observe import span_queue

    sent: list[Any] = []

    def frozen() -> Callable[[Any], str]:
        def send(batch: Any) -> str:
            sent.extend(batch)
            time.sleep(3600)
            return ""

        return send

    before = span_queue.DROPPED._value.get()
    queue = span_queue.SpanQueue(frozen)
    queue.add(0)
    while not sent:
        time.sleep(0.01)
    for number in range(span_queue.MAX_QUEUED_SPANS + 10):
        queue.add(number)
    began = time.monotonic()
    queue.flush()
    assert time.monotonic() - began < 30
    assert span_queue.DROPPED._value.get() - before == 10


def test_a_full_batch_is_sent_before_its_time() -> None:
    """A second of a busy process has more spans than the queue takes."""
    from offload.observe import span_queue

    sent: Queue[int] = Queue()

    def send(batch: Any) -> Any:
        sent.put(len(batch))

    queue = span_queue.SpanQueue(lambda: send)
    queue._send_interval = 3600.0
    for number in range(span_queue.MAX_BATCH_SPANS):
        queue.add(number)
    assert sent.get(timeout=60) == span_queue.MAX_BATCH_SPANS


def test_a_forked_process_sends_its_own_spans_and_not_its_parents() -> None:
    from offload.observe.span_queue import SpanQueue

    read, write = os.pipe()

    def send(batch: Any) -> str:
        os.write(write, f"{batch}".encode())
        return ""

    queue = SpanQueue(lambda: send)
    queue._start_thread = lambda: None  # type: ignore[method-assign]
    queue.add("the parent's")
    del queue._start_thread
    pid = os.fork()
    if not pid:
        queue.add("the child's")
        queue.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b'["the child\'s"]'


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


@pytest.mark.parametrize("counted_by", ["span_queue", "logs"])
def test_no_process_is_forked_while_a_thread_counts_what_it_drops(
    monkeypatch: pytest.MonkeyPatch, counted_by: str
) -> None:
    """The child would inherit the lock of the metrics, and wait for it at its first count."""
    from offload import logs
    from offload.observe import span_queue

    lock, at_it = threading.Lock(), threading.Event()

    class Counter:
        def inc(self, number: int = 1) -> None:
            with lock:
                at_it.set()
                time.sleep(0.5)

    monkeypatch.setattr({"span_queue": span_queue, "logs": logs}[counted_by], "DROPPED", Counter())
    if counted_by == "span_queue":
        span_queue.SpanQueue(lambda: lambda batch: "away").add("a span")
    else:
        read, write = os.pipe()
        handler = logs.NonBlockingHandler(write, max_backlog=1)
        line = logging.makeLogRecord({"msg": "x" * 100_000})
        # The pipe is full, then the backlog; the third line is dropped.
        threading.Thread(target=lambda: [handler.emit(line) for _ in range(3)]).start()
    assert at_it.wait(60)
    pid = os.fork()
    if not pid:
        os._exit(lock.locked())
    assert os.waitpid(pid, 0)[1] == 0
    if counted_by == "logs":
        os.close(read)
        handler.close()
        os.close(write)


def test_a_thread_with_the_lock_of_the_database_counts_though_another_one_forks() -> None:
    """A fork takes the lock of the database first. Otherwise each would wait for the other."""
    from offload.jobs.database import FORK_LOCK
    from offload.observe.no_fork import NO_FORK

    at_it = threading.Event()

    def count() -> None:
        with FORK_LOCK:
            at_it.set()
            time.sleep(0.5)
            with NO_FORK:
                pass

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    assert at_it.wait(60)
    if not (pid := os.fork()):
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    counting.join(60)
    assert not counting.is_alive()


def test_a_job_that_seeds_its_random_numbers_has_other_ids_each_time(
    spans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.observe.collector import connect
    from offload.observe.tracing import tracing

    for _ in range(2):
        random.seed(7)
        tracing.begin("a", "INTERNAL").end()
    assert len({span.context.trace_id for span in spans}) == 2
    assert len({span.context.span_id for span in spans}) == 2

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    random.seed(7)
    before = random.getstate()
    assert connect()(spans) == "ConnectionError"
    assert random.getstate() == before, "to send spans changes what a job computes"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("200 OK", ""),
        # The exporter counts it as a success, and sends the spans nowhere.
        ("302 Found\r\nLocation: /login", "status 302"),
        ("401 Unauthorized", "status 401"),
        ("413 Too Large", "status 413"),
        ("503 Away\r\nRetry-After: 3600", "status 503"),
    ],
)
def test_what_the_collector_answers_to_spans_is_told(
    spans: list[Any], monkeypatch: pytest.MonkeyPatch, answer: str, fault: str
) -> None:
    from offload.observe.collector import connect
    from offload.observe.tracing import tracing

    tracing.begin("a", "INTERNAL").end()
    with answering(f"HTTP/1.1 {answer}\r\nContent-Length: 2\r\n\r\n{{}}".encode()) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        assert connect()(spans) == fault


def test_an_answer_without_an_end_keeps_nobody_waiting(
    spans: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.observe.collector import connect
    from offload.observe.tracing import tracing

    tracing.begin("a", "INTERNAL").end()
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", endless=True) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        faults: list[str] = []
        sending = threading.Thread(target=lambda: faults.append(connect()(spans)), daemon=True)
        sending.start()
        sending.join(60)
        assert faults == [""]


@contextmanager
def answering(head: bytes, endless: bool = False) -> Iterator[str]:
    """A collector that answers each connection with these bytes; its URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100_000)
            with suppress(OSError):
                self.request.sendall(head)
                while endless:
                    self.request.sendall(bytes(100_000))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key s3cr3t"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318?key=s3cr3t"),
        ("OTEL_TRACES_SAMPLER", "some"),
    ],
)
def test_a_wrong_value_costs_the_traces_and_not_the_service(
    lab: Lab, name: str, value: str
) -> None:
    tracing_or_skip()
    code = (
        "import django; django.setup()\n"
        "from offload.observe.tracing import tracing\n"
        "tracing.start('lab')\n"
        "span = tracing.begin('a', 'SERVER')\n"
        "span and span.end()\n"
        "tracing.flush()"
    )
    traced = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1",
        name: value,
    }
    assert lab.start("traced", sys.executable, "-c", code, **traced).wait(60) == 0
    lines = [json.loads(line) for line in lab.log("traced").splitlines()]
    (told,) = [line["event"] for line in lines if line["logger"] == "offload.traces"]
    assert "OTEL_" in told
    assert "s3cr3t" not in lab.log("traced")


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


def test_missing_packages_are_told_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.observe import tracing as module

    monkeypatch.setattr(module, "PACKAGES", ("no_such_package.sdk",))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    made = module.Tracing()
    made.start("lab")
    assert not made.is_on
    assert "no_such_package.sdk is not installed" in caplog.text


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], asked: bool) -> None:
    from offload.observe.tracing import is_asked_for

    assert is_asked_for(variables) is asked
