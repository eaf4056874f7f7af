"""Counts and times each request for Prometheus."""

from typing import Any

from django.http import HttpRequest

from offload.serving.methods import method_label
from offload.serving.metrics import REQUESTS
from offload.serving.middleware.base import GetResponse
from offload.serving.middleware.recording import RecordingMiddleware


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
        key = (method_label(request.method or ""), match.route if match else "unmatched", status)

        series = self.series.get(key)
        if series is None:
            series = self.series[key] = REQUESTS.labels(*key)
        series.observe(seconds)
