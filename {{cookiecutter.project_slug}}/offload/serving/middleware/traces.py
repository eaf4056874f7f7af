"""Makes a span of each request."""

import sys
from typing import Any

from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import got_request_exception
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.observe.tracing import trace_headers, tracing
from offload.serving.methods import method_label
from offload.serving.middleware.base import GetResponse
from offload.serving.middleware.recording import CLIENT_CLOSED_REQUEST, RecordingMiddleware
from offload.serving.middleware.request_ids import request_id
from offload.serving.paths import PathPrefixes

NANOSECONDS = 1_000_000_000


class Traces(RecordingMiddleware):
    """Makes a span of each request, up to the start of its response; of a probe none.

    The span is a child of the caller's, if the caller sent a `traceparent`. It is named after the
    route and not the path. Path and query are left out, since they may hold secrets: a log line
    with the same `trace_id` has the path.

    Without tracing this middleware is not in the chain.
    """

    def __init__(self, get_response: GetResponse) -> None:
        if not tracing.is_on:
            raise MiddlewareNotUsed
        super().__init__(get_response)
        self.probes = PathPrefixes(conf().probe_prefixes)
        # One of both chains is enough.
        got_request_exception.connect(record_exception, dispatch_uid="offload-traces")

    def before(self, request: HttpRequest) -> float:
        if not self.probes.match(request.path_info):
            # The span stays the current one after the response. So the lines that are logged then,
            # and the calls of a stream's body, belong to the trace. The server gives each request a
            # context of its own.
            tracing.attach(_begin(request))
        return super().before(request)

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: float) -> None:
        # Where nothing is sampled there is nothing to record, and no record to wait for.
        if tracing.current() is not None:
            super().after(request, response, begun)

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        """End the span, which is that of the request's context."""
        span = tracing.current()
        if span is None or not span.is_recording():
            return

        match = request.resolver_match
        if match:
            span.update_name(f"{span.name} {match.route}")
            span.set_attribute("http.route", match.route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            tracing.fail(span, str(status))
        elif status == CLIENT_CLOSED_REQUEST:
            span.set_attribute("offload.client_disconnected", True)
        # Recording may come later than the end.
        span.end(span.start_time + int(seconds * NANOSECONDS))


def _begin(request: HttpRequest) -> Any:
    headers = trace_headers(request.META)
    method = method_label(request.method or "")
    return tracing.begin(
        # OpenTelemetry's name for a method that it does not know.
        "HTTP" if method == "_OTHER" else method,
        "SERVER",
        tracing.remote(headers) if headers else None,
        attributes={
            "http.request.method": method,
            "url.scheme": request.scheme,
            "offload.request_id": request_id.get(),
        },
    )


def record_exception(**_: Any) -> None:
    """Called by Django, in a thread, while it makes a 500 of an exception."""
    error = sys.exc_info()[1]
    if error is not None:
        tracing.record_error(error)
