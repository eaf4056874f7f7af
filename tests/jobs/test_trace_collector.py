"""Whatever the collector of traces does costs no request and no job anything."""

import random
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from otlp_receiver import tracing_or_skip
from postgresql_server import free_port

from .conftest import Lab
from .traced import authorization, get
from .traced import spans as spans


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
