"""Metrics: what Prometheus is told about each upstream."""

from collections.abc import Callable
from typing import get_args

from offload.observe import Counter, Gauge, Histogram
from offload.observe.live_gauges import show_gauge

from .errors import OutcomeStatus

LATENCY = Histogram(
    "offload_fanout_latency_seconds",
    "Time a caller waited for an upstream, queueing and retries included; only calls of which a "
    "request was sent.",
    ["upstream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
OUTCOMES = Counter(
    "offload_fanout_outcomes_total", "Calls, by their outcome.", ["upstream", "status"]
)
ATTEMPTS = Counter(
    "offload_fanout_attempts_total",
    "Requests sent, retries included, hedged ones not.",
    ["upstream"],
)
HEDGES = Counter(
    "offload_fanout_hedges_total", "Hedged requests sent: second, parallel ones.", ["upstream"]
)
RETRIES_DENIED = Counter(
    "offload_fanout_retries_denied_total",
    "Retries not made because the budget was used up.",
    ["upstream"],
)
BREAKER_STATE = Gauge(
    "offload_fanout_breaker_state",
    "0 closed, 1 half open, 2 open. Of several processes the worst.",
    ["upstream"],
    multiprocess_mode="livemax",
)
WAITING = Gauge(
    "offload_fanout_waiting",
    "Calls waiting for a slot of the bulkhead.",
    ["upstream"],
    multiprocess_mode="livesum",
)


class Meter:
    """The metrics of one upstream. Their labels are looked up once, and not for every call."""

    def __init__(self, upstream: str) -> None:
        self.attempts = ATTEMPTS.labels(upstream)
        self.hedges = HEDGES.labels(upstream)
        self.retries_denied = RETRIES_DENIED.labels(upstream)
        self._breaker_state = BREAKER_STATE.labels(upstream)
        self._waiting = WAITING.labels(upstream)
        self._latency = LATENCY.labels(upstream)
        self._outcomes = {
            status: OUTCOMES.labels(upstream, status) for status in get_args(OutcomeStatus)
        }

    def watch(self, waiting: Callable[[], int], breaker_state: Callable[[], str]) -> None:
        """Show what these functions return."""
        states = ("closed", "half-open", "open")
        show_gauge(self._waiting, waiting)
        show_gauge(self._breaker_state, lambda: states.index(breaker_state()))

    def outcome(self, status: OutcomeStatus, seconds: float | None) -> None:
        """Count one call.

        Args:
            status: of its outcome.
            seconds: that its caller waited; `None` if nothing went to the upstream. A refusal takes
                no time, and would make the latency look best in an outage.
        """
        self._outcomes[status].inc()
        if seconds is not None:
            self._latency.observe(seconds)
