"""The metrics of the guard at run time."""

from offload.observe import Counter, Histogram

LOOP_LAG_SECONDS = Histogram(
    "offload_guard_loop_lag_seconds",
    "How long the event loop took to answer the watchdog.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
BLOCKED_SECONDS = Histogram(
    "offload_guard_blocked_seconds",
    "How long the event loop was blocked each time.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
BLOCKS_BY_PLACE = Counter(
    "offload_guard_blocked_total",
    "Blocks of the event loop by the line that blocked it.",
    ["place"],
)
SLOW_REQUESTS = Counter(
    "offload_guard_slow_requests_total",
    "Requests that took longer than the slow-request threshold.",
)
GC_COLLECTIONS = Counter(
    "offload_guard_gc_collections_total", "Garbage collections.", ["generation"]
)
GC_SECONDS = Counter(
    "offload_guard_gc_seconds_total",
    "Time of garbage collections, which stop every thread of the process.",
    ["generation"],
)
