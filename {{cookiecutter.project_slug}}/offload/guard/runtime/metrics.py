"""The running net's figures."""

from prometheus_client import Counter, Histogram

from offload.guard.runtime.watchdog import Block

LAG = Histogram(
    "offload_guard_loop_lag_seconds",
    "How long the event loop took to answer the watchdog.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
BLOCKED = Histogram(
    "offload_guard_blocked_seconds",
    "How long the event loop was blocked each time.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PLACES = Counter(
    "offload_guard_blocked_total",
    "Blocks of the event loop by the line that blocked it.",
    ["place"],
)
SLOW = Counter(
    "offload_guard_slow_requests_total",
    "Requests that took longer than the slow-request threshold.",
)
# Label values a process; later places are counted as "other".
MOST_PLACES = 50

_places: set[str] = set()


def count(block: Block) -> None:
    """Enter one block."""
    BLOCKED.observe(block.seconds)
    if len(_places) < MOST_PLACES:
        _places.add(block.place)
    PLACES.labels(block.place if block.place in _places else "other").inc()
