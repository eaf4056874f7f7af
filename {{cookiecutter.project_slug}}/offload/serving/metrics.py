"""The metrics of serving."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Histogram(
    "offload_serving_request_seconds",
    "Time from the request to the start of its response, in seconds.",
    ["method", "route", "status"],
)
REQUESTS_IN_FLIGHT = Gauge(
    "offload_serving_requests_in_flight",
    "Requests that are being answered, without streams and probes.",
)
STREAMS_IN_FLIGHT = Gauge("offload_serving_streams_in_flight", "Open event streams.")
CONNECTIONS = Gauge("offload_serving_connections", "Open connections of clients.")
THREADS_LENT = Gauge(
    "offload_serving_threads_lent", "Request threads in use, and so database connections in use."
)
DISCONNECTS = Counter(
    "offload_serving_disconnects_total", "Clients that left before their response was complete."
)
SHED = Counter(
    "offload_serving_shed_total", "Requests answered 503 because a limit was reached.", ["limit"]
)
