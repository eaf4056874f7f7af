"""Traces: where the time of a request went, and of its upstream calls and jobs (OpenTelemetry).

The environment turns it on. Without that nothing of OpenTelemetry is imported, and each function
here returns at once. `docs/reference/traces.md` has the spans and their attributes.

A trace is sampled or not as a whole. In a trace that is not, only the span of the request or of the
attempt of a job is made, because it has the id that upstreams are sent; the others are None.
"""

import importlib.util
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from offload.observe.span_queue import SpanQueue

if TYPE_CHECKING:
    from offload.observe.tracer import Tracer

logger = logging.getLogger("offload.traces")

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
# The headers of W3C Trace Context, and their keys in `request.META` (RFC 3875, section 4.1.18).
TRACE_KEYS = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}
# A longer header of another process is left out: receivers have to take 512 characters of
# tracestate, and no more (W3C Trace Context, section 3.3.1.5).
MAX_TRACE_CHARACTERS = 512
# Frames of a traceback on a span.
MAX_FRAMES = 30


class Tracing:
    """The traces of this process; off until `start`."""

    def __init__(self) -> None:
        self._tracer: Tracer | None = None
        self._queue: SpanQueue | None = None

    @property
    def is_on(self) -> bool:
        """Whether this process makes spans."""
        return self._tracer is not None

    def start(self, service: str) -> None:
        """Make spans from now on, if the environment asks for it. A second call does nothing.

        A service can serve without traces: where they are impossible, it says so and goes on.

        Args:
            service: the name of the service, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES
                has one.
        """
        if self._tracer is None and is_asked_for(os.environ) and _is_possible():
            try:
                # They read the environment as they are imported. This process forks later.
                from offload.observe.collector import connect
                from offload.observe.tracer import Tracer

                connect()
                queue = SpanQueue(connect)
                self._tracer, self._queue = Tracer(service, queue.add), queue
            except Exception as error:  # noqa: BLE001  # of whatever a variable is about
                logger.error(
                    "Nothing is traced, because a variable OTEL_... in the environment has a wrong "
                    "value (%s). Correct it, and start this process again.",
                    error,
                )

    def flush(self) -> None:
        """Send what waits for the collector. Takes a second at most."""
        if self._queue is not None:
            self._queue.flush()

    # --- the span of this context ---

    def current(self) -> Any:
        """The span of this context, which may have ended; None where its trace is not sampled."""
        if self._tracer is None:
            return None
        span = self._tracer.current()
        return span if span.get_span_context().trace_flags.sampled else None

    def trace_id(self) -> str:
        """The id of this context's trace, in 32 hexadecimal digits; empty if it is not sampled."""
        span = self.current()
        return f"{span.get_span_context().trace_id:032x}" if span is not None else ""

    def headers(self, span: Any = None) -> dict[str, str]:
        """The headers `traceparent` and `tracestate` of a span, or else of this context's span."""
        if self._tracer is None:
            return {}
        return self._tracer.headers(span or self._tracer.current())

    def add_event(self, name: str, attributes: Mapping[str, Any]) -> None:
        """Note on the span of this context that something happened now."""
        span = self.current()
        if span is not None and span.is_recording():
            span.add_event(name, attributes)

    def set_attribute(self, name: str, value: str | int) -> None:
        """Set an attribute of this context's span."""
        span = self.current()
        if span is not None and span.is_recording():
            span.set_attribute(name, value)

    def record_error(self, error: BaseException) -> None:
        """Note on the span of this context that it fails with this error, and where.

        The text of the error is left out, and so are the lines of the code: they may hold secrets.
        The log has both.
        """
        span = self.current()
        if span is not None and span.is_recording():
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            event = {"exception.type": kind, "exception.stacktrace": _places(error)}
            span.add_event("exception", event)
            self.fail(span, kind)

    # --- making spans ---

    def begin(self, name: str, kind: str, parent: Any = None, **options: Any) -> Any:
        """A span that begins now; None where nothing is traced.

        Args:
            kind: one of OpenTelemetry's `SpanKind`, such as `CLIENT`.
            parent: a span; None begins a trace.
            options: `attributes`, `links`, and `start_time` in nanoseconds since 1970.
        """
        return None if self._tracer is None else self._tracer.begin(name, kind, parent, **options)

    def remote(self, headers: Mapping[str, str]) -> Any:
        """Another process's span, by its headers; None without a sane `traceparent`."""
        return None if self._tracer is None else self._tracer.remote(headers)

    def attach(self, span: Any) -> None:
        """Make this the span of the rest of this context."""
        if self._tracer is not None and span is not None:
            self._tracer.attach(span)

    @contextmanager
    def attached(self, span: Any) -> Iterator[None]:
        """Make this the span of the context in the block, and end it."""
        if self._tracer is None or span is None:
            yield
            return

        token = self._tracer.attach(span)
        try:
            yield
        finally:
            self._tracer.detach(token)
            span.end()

    def link(self, span: Any) -> Any:
        """A link to this span, for `begin`."""
        assert self._tracer is not None
        return self._tracer.link(span)

    def fail(self, span: Any, error_type: str) -> None:
        """Mark a span as failed, unless it is already."""
        assert self._tracer is not None
        self._tracer.fail(span, error_type)


# The one of this process.
tracing = Tracing()


def sampled_trace_id(traceparent: str | None) -> str:
    """The id of a trace in 32 hexadecimal digits; empty if it is not sampled, or there is none.

    Args:
        traceparent: version, trace, span and flags, in hexadecimal digits with dashes between.
    """
    if not traceparent:
        return ""
    _, trace_id, _, flags = traceparent.split("-")
    return trace_id if int(flags, 16) & 1 else ""


def trace_headers(meta: Mapping[str, Any]) -> dict[str, str]:
    """The trace context of an incoming request; empty where it has none.

    Args:
        meta: Django's `request.META`.
    """
    return {
        name: value
        for name, key in TRACE_KEYS.items()
        if (value := meta.get(key)) and len(value) <= MAX_TRACE_CHARACTERS
    }


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether these variables ask for traces: an address of a collector, or an exporter by name."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(environment.get(name) for name in ENDPOINT_VARIABLES)


def _places(error: BaseException) -> str:
    """Where it was raised and where it came through, as in a traceback."""
    walked = list(traceback.walk_tb(error.__traceback__))[-MAX_FRAMES:]
    return "\n".join(
        f'File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
        for frame, line in walked
    )


def _is_possible() -> bool:
    """Whether the packages are there. A service without them goes on, since it can serve."""
    try:
        missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError:
        missing = [*PACKAGES]
    if missing:
        logger.warning(
            "The environment asks for traces (OTEL_...), and %s is not installed: nothing is "
            "traced. Install requirements/tracing.txt, or set OTEL_SDK_DISABLED=true.",
            " and ".join(missing),
        )
    return not missing
