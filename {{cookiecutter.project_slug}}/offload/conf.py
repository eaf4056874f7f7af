"""Every setting of `offload/`, typed and in one place.

A service sets `OFFLOAD = Offload(...)` in its Django settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The settings of a service. Times are in seconds and sizes in bytes.

    Raises:
        TypeError: a name is misspelt.
        ImproperlyConfigured: `api_path` does not begin and end with a slash.
    """

    # --- jobs ---
    # The broker. Events go over its pub/sub, on channels with the prefix below.
    redis_url: str = "redis://127.0.0.1:6379/0"
    # The prefix of the channels: one Redis may serve several services, and pub/sub knows no
    # database numbers. Traces have it as the name of the service, unless OTEL_SERVICE_NAME is set.
    events_prefix: str = "offload"
    # The job of a dead worker starts again after this time. A lease is renewed three times as
    # often.
    lease: float = 15.0
    # A cancelled job may go without `report()` for this time; then its process is killed.
    cancel_grace: float = 1.0
    # The shortest time between two writes of a job's progress (SQLite, 4 writers: p99 of a write
    # 1 ms; without the limit 630 ms).
    report_interval: float = 0.5
    # The parameters of a job, as JSON. Larger inputs belong in storage, with a reference here.
    params_limit: int = 64 * 1024
    # The state that a job reports for its next attempt, as JSON. It may be written twice a second.
    checkpoint_limit: int = 64 * 1024
    # A result that is kept in its row. A larger one goes to file storage.
    result_limit: int = 1024 * 1024
    # A result in file storage. A larger one fails the job.
    stored_result_limit: int = 64 * 1024 * 1024
    # A folder on a disk of the worker's host. While the database is away, it keeps how jobs have
    # ended, so that a worker may end, too. The workers of one host and service share it.
    spool_folder: str = "var/spool"
    # All files in it together. An end over it is kept in its process's memory alone.
    spool_limit: int = 1024 * 1024 * 1024
    # A file in it. An older one is deleted: its job's lease ended long ago.
    spool_lifetime: float = 7 * 86400.0
    # The most jobs that may wait in one queue. Then a submit is answered 503.
    queue_depth: int = 10_000
    # The most jobs of one owner that may wait in one queue. Then a submit of this owner is answered
    # 429. It is half of `queue_depth`: one caller cannot take the places of all the others. 0: no
    # limit.
    jobs_per_owner: int = 5_000
    # The most jobs of one queue that may wait for a later time (`run_at`). Then a submit for later
    # is answered 503. Of one owner there may be `jobs_per_owner` of them (429). The leader counts
    # them once a second.
    planned_depth: int = 100_000
    # The greatest age of the oldest due job of a queue. Then a submit is answered 503.
    queue_age: float = 3600.0
    # Finished jobs are deleted after this time, unless the job has a time of its own.
    result_lifetime: float = 7 * 86400.0
    # A worker that is told to stop waits this long for its jobs (Kubernetes kills after 30 s).
    worker_grace: float = 20.0
    # Workers give way to the web process on the same cores: 0 to 19, the default of nice(1).
    worker_nice: int = 10
    # A worker that was not heard from for this time is not ready.
    worker_silence: float = 15.0
    # The time between two comment lines in an idle event stream. Proxies close a silent one, often
    # after 60 s.
    idle_stream_heartbeat: float = 15.0
    # Event streams and long polls of one owner in a process; one more is answered 429. It is a
    # fifth of `streams_in_flight`: one caller cannot take the places of all the others.
    streams_per_owner: int = 1000

    # A file that a worker touches every second, for the probe of its container. Empty: none.
    worker_life_file: str = ""
    # The port on `host` where Prometheus finds the metrics of all workers of a host. 0: nowhere.
    worker_metrics_port: int = 0

    # --- serving ---
    # Where `python -m offload.serving` listens, unless its arguments say otherwise.
    host: str = "127.0.0.1"
    port: int = 8000
    # Addresses and networks of the proxies in front. X-Forwarded-For and X-Forwarded-Proto are
    # believed if they come from one of them: from anybody else they could be forged.
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    # If it is set, `/metrics` is answered only to `Authorization: Bearer <this token>`.
    metrics_token: str = field(default="", repr=False)
    # Scripts, styles and connections of pages: from this host alone. Images may be in the page
    # itself, as those of the API's docs are. Who may frame a page is in X-Frame-Options. A view may
    # set a policy of its own.
    content_security_policy: str = (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'"
    )
    # What pages, and what they embed, may not ask the browser for.
    permissions_policy: str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
    # False: Django's stock handler, with a thread for every request (0.8 ms more a
    # request).
    lean: bool = True
    # False: without what only saves microseconds (`offload/serving/fast`).
    fast: bool = True
    # Where urls.py has the API of `make_api`. A service that had an `/api/` before takes another
    # path, and names it in `api_prefixes` and `body_limits`, too.
    api_path: str = "/api/"
    # Paths that begin so pass API_MIDDLEWARE; all others pass MIDDLEWARE.
    api_prefixes: tuple[str, ...] = ("/api/", "/health/", "/metrics")
    # Requests to these paths are never shed. Their host is not checked, since a probe asks the
    # process by its address.
    probe_prefixes: tuple[str, ...] = ("/health/", "/metrics")
    # The most requests that are answered at once, and the most bodies that are received. Then a
    # request is answered 503. Each costs some 100 kB, and a longer wait does not help its client.
    requests_in_flight: int = 1000
    # The most event streams, long polls and WebSockets that may be open. They are counted apart:
    # waiting costs little.
    streams_in_flight: int = 5000
    # A request body. A larger one is answered 413 before all of it is read. A service with file
    # uploads may want more.
    body_limit: int = 10 * 1024 * 1024
    # The same for these paths and what is below them; the longest one holds. JSON is parsed on the
    # event loop, whatever its Content-Type says. The worst megabyte stops it for 35 ms, and the
    # worst 10 MB for 4 s.
    body_limits: Mapping[str, int] = field(default_factory=lambda: {"/api/": 1024 * 1024})
    # A form that is sent in one line (`application/x-www-form-urlencoded`), whatever its path. Each
    # of its bytes may take 77 bytes of memory to parse: 10 MB of `%41` took 770 MB and 2.2 s of
    # CPU, without a login. Forms with files come as `multipart/form-data`, which is cheap.
    form_limit: int = 256 * 1024
    # A message of a WebSocket. A larger one closes it (1009). JSON is parsed on the event loop.
    websocket_message_limit: int = 64 * 1024
    # The most connections that may be open; fewer if the limit of open files is lower. It is more
    # than the requests and streams together, so that these answer with their own reasons.
    connections: int = 10_000
    # The head of a request, from its first byte; of the first request from the connect on. nginx
    # waits 60 s; Apache 20 s; a head fits in one packet.
    head_timeout: float = 10.0
    # A body may take this time, and a second more for every `body_min_rate` bytes that arrived.
    # Apache: 20 s and 500; the slowest mobile networks (GPRS) send 1,000 bytes a second.
    body_timeout: float = 20.0
    body_min_rate: int = 1000
    # A request, from its last byte to the start of its response; then it is cancelled and answered
    # 503. Proxies wait 60 s (nginx, AWS ALB), so nobody would read what comes later.
    request_timeout: float = 60.0
    # A client that reads nothing of its response for this time is cut off. For every
    # `write_min_rate` bytes that it has read it is given a second more. Kestrel asks for 240 a
    # second; the slowest mobile networks (GPRS) take 1,000.
    write_timeout: float = 20.0
    write_min_rate: int = 1000
    # A connection without a request is closed after this time. It is longer than at a proxy (nginx,
    # AWS ALB: 60 s; Azure: 240 s; Google Cloud: 600 s), so that no request meets a closing socket,
    # for which its caller would see a 502.
    keep_alive_timeout: float = 65.0
    # How many idle request threads are kept for the API, and for all other pages. A thread
    # keeps its database connection.
    request_threads: int = 8
    # There are never more request threads for the API, nor for all other pages. With this number a
    # sync view that waits is as quick as on Django's own handler, from 1 to 128 clients.
    max_request_threads: int = 128
    # The request threads of the API never have more connections to PostgreSQL, nor those of all
    # other pages. Two web processes and their workers fit into PostgreSQL's default of 100.
    max_request_connections: int = 20
    # A request that has waited this long for a request thread is answered 503, and also if it then
    # waits this long for a database connection. Together with the time for a connection that fails
    # (3 s) that is below `request_deadline`.
    request_thread_timeout: float = 3.0

    # --- fan-out ---
    # All upstream calls of a request together. Few callers wait longer for an answer.
    request_deadline: float = 10.0

    # --- access ---
    # The tokens in use, and the sessions of open event streams and long polls, are checked this
    # often, with three queries for all of a process. A token that was revoked or has expired opens
    # nothing after that; its event streams and long polls end, also where it was changed, and those
    # of a user who logged out.
    login_check: float = 0.5
    # The most requests of one owner, and of one client address where a route has `AnyClient()`, in
    # the window below (seconds), counted in Redis for all web processes; then a request is answered
    # 429. 0: no limit. That is the default, since only the service's team knows what callers need,
    # and a count costs a round trip. Processes are protected by `requests_in_flight` all the same.
    requests_per_owner: int = 0
    requests_per_address: int = 0
    request_quota_window: float = 60.0
    # A request waits this long for the count (seconds). Redis on the same network answers in 1 ms.
    request_count_timeout: float = 0.2
    # Where the count is not known in time: True answers the request, False refuses it (503).
    uncounted_requests_pass: bool = True
    # Requests with a wrong token that are answered 401, for one client address in a minute; further
    # ones are answered 429 without a query. A mistyped token is sent a few times, not 30.
    token_failures: int = 30
    # Wrong passwords that are checked for one client address in the window below (seconds); then
    # none is. OWASP asks for a limit and names no number (ASVS 2.2.1: at most 100 an hour).
    login_failures: int = 8
    login_failure_window: float = 300.0

    # --- guard ---
    # A callback that keeps the event loop for this time is reported: with 10 requests a second,
    # one has waited.
    block_threshold: float = 0.1
    # If the loop does not turn for this time, the stack of every thread is written to stderr,
    # whether the GIL is free or not.
    hang_threshold: float = 5.0
    # A request that has no answer after this time is logged once, with the place where it waits.
    slow_request: float = 2.0

    def __post_init__(self) -> None:
        # With "/api" the address of a job would be /apijobs/1.
        if not (self.api_path.startswith("/") and self.api_path.endswith("/")):
            raise ImproperlyConfigured(
                f"Offload(api_path={self.api_path!r}): it has to begin and end with a slash"
            )


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults if there is none."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
