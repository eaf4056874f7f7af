"""A collector of traces for tests: it takes what a service sends by OTLP over HTTP, and keeps it.

The packages of OpenTelemetry are optional for a service, so they may be missing here, too.
"""

import importlib.util
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


def tracing_or_skip() -> None:
    """Skip the calling test, loudly, where the packages are missing."""
    if importlib.util.find_spec("opentelemetry") and importlib.util.find_spec("opentelemetry.sdk"):
        return
    if os.environ.get("REQUIRE_TRACING"):
        pytest.fail("REQUIRE_TRACING is set and the packages of OpenTelemetry are not installed")
    pytest.skip("NO OPENTELEMETRY ON THIS MACHINE: traces were not tried")


@dataclass
class ReceivedSpan:
    """A span as a collector sees it."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    is_error: bool
    events: list[tuple[str, dict[str, Any]]]
    links: list[str]
    # In seconds.
    began_at: float
    ended_at: float


@dataclass
class Receiver:
    """What has arrived."""

    endpoint: str
    spans: list[ReceivedSpan] = field(default_factory=list)

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver on a free port."""
    tracing_or_skip()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            receiver.spans += read_spans(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read_spans(body: bytes) -> list[ReceivedSpan]:
    """The spans of one request."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        ReceivedSpan(
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            _values(span.attributes),
            _values(of_process.resource.attributes),
            span.status.code == span.status.STATUS_CODE_ERROR,
            [(event.name, _values(event.attributes)) for event in span.events],
            [link.span_id.hex() for link in span.links],
            span.start_time_unix_nano / 1e9,
            span.end_time_unix_nano / 1e9,
        )
        for of_process in request.resource_spans
        for of_scope in of_process.scope_spans
        for span in of_scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
