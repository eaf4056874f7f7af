"""What Prometheus is told of each upstream."""

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from .errors import Status

LATENCY = Histogram(
    "offload_fanout_latency_seconds",
    "Time a caller waited for an upstream, queueing and retries included.",
    ["upstream"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
OUTCOMES = Counter(
    "offload_fanout_outcomes", "Calls by what became of them.", ["upstream", "status"]
)
ATTEMPTS = Counter(
    "offload_fanout_attempts", "Requests sent, retries and hedged ones included.", ["upstream"]
)
HEDGES = Counter("offload_fanout_hedges", "Second, parallel requests sent.", ["upstream"])
DENIED = Counter(
    "offload_fanout_retries_denied",
    "Retries not made because the budget was used up.",
    ["upstream"],
)
BREAKER = Gauge("offload_fanout_breaker_state", "0 closed, 1 half open, 2 open.", ["upstream"])
WAITING = Gauge("offload_fanout_waiting", "Calls waiting for a slot of the bulkhead.", ["upstream"])


class Meter:
    """The metrics of one upstream, their label looked up once."""

    def __init__(self, upstream: str) -> None:
        self.latency = LATENCY.labels(upstream)
        self.attempts = ATTEMPTS.labels(upstream)
        self.hedges = HEDGES.labels(upstream)
        self.denied = DENIED.labels(upstream)
        self.breaker = BREAKER.labels(upstream)
        self.waiting = WAITING.labels(upstream)
        self._outcomes = {status: OUTCOMES.labels(upstream, status) for status in get_args(Status)}

    def outcome(self, status: Status, seconds: float) -> None:
        """Count one call."""
        self._outcomes[status].inc()
        self.latency.observe(seconds)
