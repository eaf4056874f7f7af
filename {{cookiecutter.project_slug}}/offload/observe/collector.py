"""The way to the collector of traces that the environment names: OTLP over HTTP.

Only `tracer.py` needs this module's packages (requirements/tracing.txt).
"""

# `requests` imports it at its first request. A process that is forked in the middle of an import
# waits for the end of it for ever, so nothing may be left for the thread to import.
import netrc  # noqa: F401
from contextlib import suppress
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SpanExportResult

from offload.observe.span_queue import SendSpans

# A collector answers with a few bytes. What is beyond these is not read, and the connection closed.
MAX_RESPONSE_BYTES = 64 * 1024


class CollectorSession(requests.Session):  # type: ignore[misc,unused-ignore]  # may be missing
    """The exporter's session. It knows what the exporter does not tell.

    1. Why a request failed. The words of the error are left out: they may hold a key.
    2. That a redirect takes no span. The exporter counts it as a success.
    3. That a response has an end.
    """

    def __init__(self) -> None:
        super().__init__()
        # Why the last request failed; empty if it did not.
        self.fault = ""

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """As `requests.Session.request`, for the exporter.

        Raises:
            requests.RequestException: no response, or a redirect.
        """
        self.fault = ""
        try:
            response = super().request(*args, **options, stream=True)
        except Exception as error:
            self.fault = type(error).__name__
            raise

        # The status has come, and it is all that counts.
        with response, suppress(Exception):
            response.raw.read(MAX_RESPONSE_BYTES)
        if response.status_code >= 300:
            self.fault = f"status {response.status_code}"
        if 300 <= response.status_code < 400:
            raise requests.TooManyRedirects(self.fault)
        return response


def connect() -> SendSpans:
    """The function that sends spans to the collector."""
    session = CollectorSession()
    exporter: Any = OTLPSpanExporter(session=session)
    # The exporter draws from the module `random` before each request. So it would change what a job
    # computes that has called `random.seed`.
    exporter._client._compute_backoff = lambda retry: 2**retry  # noqa: SLF001

    def send(spans: Any) -> str:
        is_sent = exporter.export(spans) is SpanExportResult.SUCCESS
        return "" if is_sent else session.fault or "it was not sent"

    return send
