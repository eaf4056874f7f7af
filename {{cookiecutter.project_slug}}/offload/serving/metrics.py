"""The metrics of serving."""

from offload.observe import Counter, Gauge, Histogram

REQUESTS = Histogram(
    "offload_serving_request_seconds",
    "Time from the request to the start of its response.",
    ["method", "route", "status"],
)
REQUESTS_IN_FLIGHT = Gauge(
    "offload_serving_requests_in_flight",
    "Requests that are being answered, without streams and probes.",
    multiprocess_mode="livesum",
)
STREAMS_IN_FLIGHT = Gauge(
    "offload_serving_streams_in_flight",
    "Open event streams, long polls and WebSockets.",
    multiprocess_mode="livesum",
)
CONNECTIONS = Gauge(
    "offload_serving_connections", "Open connections of clients.", multiprocess_mode="livesum"
)
THREADS_LENT = Gauge(
    "offload_serving_threads_lent", "Request threads in use.", multiprocess_mode="livesum"
)
THREADS_WANTED = Gauge(
    "offload_serving_threads_wanted",
    "Requests that wait for a request thread.",
    multiprocess_mode="livesum",
)
THREAD_WAIT = Histogram(
    "offload_serving_thread_wait_seconds",
    "Time that a request waited for a request thread; only requests that found none idle.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
DATABASE_CONNECTIONS = Gauge(
    "offload_serving_database_connections",
    "Connections to PostgreSQL that request threads hold, busy and idle ones.",
    multiprocess_mode="livesum",
)
DATABASE_CONNECTIONS_WANTED = Gauge(
    "offload_serving_database_connections_wanted",
    "Request threads that wait until they may open a connection to PostgreSQL.",
    multiprocess_mode="livesum",
)
DISCONNECTS = Counter(
    "offload_serving_disconnects_total", "Clients that left before their response was complete."
)
SHED = Counter(
    "offload_serving_shed_total", "Requests answered 503 because a limit was reached.", ["limit"]
)
# Prometheus sees no increase in a first value of 1.
for _limit in ("requests", "bodies", "streams", "threads"):
    SHED.labels(_limit)
