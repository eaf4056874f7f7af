"""Counts and times each request for Prometheus."""

from typing import Any

from django.http import HttpRequest

from offload.serving.metrics import REQUESTS
from offload.serving.middleware.base import GetResponse
from offload.serving.middleware.recording import RecordingMiddleware

# RFC 9110 and RFC 5789.
KNOWN_METHODS = frozenset(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
)
OTHER_METHOD = "_OTHER"


class Metrics(RecordingMiddleware):
    """Counts and times requests by method, route and status.

    The route is the URL pattern and not the path, and a method that HTTP does not know is `_OTHER`
    (the rule of OpenTelemetry). So nobody outside can make more series than there are routes.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        # By method, route and status. `labels()` takes a lock and makes strings each time.
        self.series: dict[tuple[str, str, int], Any] = {}

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Add one request to its series."""
        match = request.resolver_match
        method = request.method if request.method in KNOWN_METHODS else OTHER_METHOD
        key = (method, match.route if match else "unmatched", status)

        series = self.series.get(key)
        if series is None:
            series = self.series[key] = REQUESTS.labels(*key)
        series.observe(seconds)
