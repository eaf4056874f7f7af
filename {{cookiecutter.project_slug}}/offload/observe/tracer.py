"""What makes and sends spans: the SDK of OpenTelemetry, set up for one process.

Only `tracing.py` imports this module, and only where the environment asks for traces: it needs the
packages of requirements/tracing.txt.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SERVICE_NAME = "service.name"
# What the SDK writes where the environment names no service.
UNKNOWN_SERVICE = "unknown_service"


class Tracer:
    """The tracer of one process, and of the processes that it forks.

    Args:
        service: the name of the service, unless the environment has one.
        add: takes each span that has ended.
    """

    def __init__(self, service: str, add: Callable[[Any], None]) -> None:
        provider = TracerProvider(
            resource=_resource(service), id_generator=RandomIds(), shutdown_on_exit=False
        )
        provider.add_span_processor(EndedSpans(add))
        # For the instrumentation of a library that a team adds: its spans go the same way.
        trace.set_tracer_provider(provider)
        self._tracer = provider.get_tracer("offload")
        self._propagator = TraceContextTextMapPropagator()
        self.current = trace.get_current_span

    def begin(
        self,
        name: str,
        kind: str,
        parent: Any = None,
        attributes: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """As `Tracing.begin`."""
        # Never the context of whoever happens to call.
        inherited = _context_of(parent) if parent is not None else context.Context()
        kinds = trace.SpanKind
        return self._tracer.start_span(name, inherited, kinds[kind], attributes, **options)

    def remote(self, headers: Mapping[str, str]) -> Any:
        """As `Tracing.remote`."""
        found = trace.get_current_span(self._propagator.extract(headers, context.Context()))
        return found if found.get_span_context().is_valid else None

    def headers(self, span: Any) -> dict[str, str]:
        """As `Tracing.headers`; empty for a span without an id."""
        made: dict[str, str] = {}
        self._propagator.inject(made, _context_of(span))
        return made

    def attach(self, span: Any) -> Any:
        """Make this the current span; the token for `detach`."""
        return context.attach(trace.set_span_in_context(span))

    def detach(self, token: Any) -> None:
        """End what `attach` began."""
        context.detach(token)

    def link(self, span: Any) -> Any:
        """As `Tracing.link`."""
        return trace.Link(span.get_span_context())

    def fail(self, span: Any, error_type: str) -> None:
        """As `Tracing.fail`."""
        if span.is_recording() and span.status.is_unset:
            span.set_attribute("error.type", error_type)
            span.set_status(trace.StatusCode.ERROR)


def _context_of(span: Any) -> context.Context:
    return trace.set_span_in_context(span, context.Context())


class RandomIds(IdGenerator):  # type: ignore[misc,unused-ignore]  # without the packages it is Any
    """Ids of traces and spans, by the random numbers of the system.

    The SDK draws them from the module `random`. A job may have called `random.seed`, and then all
    its runs would have the same ids.
    """

    def generate_span_id(self) -> int:
        """64 bits; 0 is no id."""
        return int.from_bytes(os.urandom(8)) or 1

    def generate_trace_id(self) -> int:
        """128 bits; 0 is no id."""
        return int.from_bytes(os.urandom(16)) or 1


class EndedSpans(SpanProcessor):  # type: ignore[misc,unused-ignore]
    """Hands each ended span of a sampled trace on."""

    def __init__(self, add: Callable[[Any], None]) -> None:
        self._add = add

    def on_end(self, span: ReadableSpan) -> None:
        """Called by the SDK."""
        if span.context.trace_flags.sampled:
            self._add(span)


def _resource(service: str) -> Resource:
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith(UNKNOWN_SERVICE):
        found = found.merge(Resource({SERVICE_NAME: service}))
    return found
