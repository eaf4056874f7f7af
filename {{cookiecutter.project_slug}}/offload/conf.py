"""Every knob of `offload/`, typed, in one place: a service sets `OFFLOAD = Offload(...)` in its
Django settings.
"""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The limits of a service. A misspelt name is a `TypeError` at start; times are in seconds,
    sizes in bytes.
    """

    # jobs
    # The broker; events go over its pub/sub, on channels of this prefix:
    redis_url: str = "redis://127.0.0.1:6379/0"
    # One Redis may serve several services: pub/sub knows no database numbers.
    events_prefix: str = "offload"
    # A dead worker's job starts again after this; renewed three times as often.
    lease: float = 15.0
    # How long a cancelled job may go without report() before its process is killed.
    cancel_grace: float = 1.0
    # Between a job's progress writes (SQLite, 4 writers: p99 1 ms; unthrottled 630).
    report_interval: float = 0.5
    # A job's parameters: bigger inputs belong in storage, with a reference here.
    params_limit: int = 64 * 1024
    # A result kept in its row; a larger one goes to file storage.
    result_limit: int = 1024 * 1024
    # A result in file storage; a larger one fails the job.
    stored_result_limit: int = 64 * 1024 * 1024
    # Jobs waiting in one queue before a submit is answered 503.
    queue_depth: int = 10_000
    # Age of the oldest due job in a queue before a submit is answered 503.
    queue_age: float = 3600.0
    # Finished jobs are deleted after this, unless the job says otherwise.
    result_lifetime: float = 7 * 86400.0
    # A worker told to stop waits this long for its jobs (Kubernetes kills after 30 s).
    worker_grace: float = 20.0
    # How far workers give way to the web process, 0 to 19; the default of nice(1).
    worker_nice: int = 10
    # A worker not heard from for this long is not ready.
    worker_silence: float = 15.0
    # Comment lines keep an idle event stream open through proxies (often 60 s).
    idle_stream_heartbeat: float = 15.0

    # serving
    # False: Django's stock handler, a thread for every request (docs/decisions/0001).
    lean: bool = True
    # Answered through API_MIDDLEWARE.
    api_prefixes: tuple[str, ...] = ("/api/", "/health/", "/metrics")
    # Never shed, and asked for by address.
    probe_prefixes: tuple[str, ...] = ("/health/", "/metrics")
    # More are answered 503: each costs some 100 kB, and waits longer than it helps.
    requests_in_flight: int = 1000
    # Open event streams, counted apart: they wait, and that costs little.
    streams_in_flight: int = 5000
    # Of a request; a 413 before it is read whole. A file upload may want more.
    body_limit: int = 10 * 1024 * 1024
    # Kept, and so the database connections of a process; more only if these don't come back.
    request_threads: int = 8

    # fan-out
    # A request's upstream calls altogether: few callers wait longer for an answer.
    request_deadline: float = 10.0

    # guard
    # The loop silent for this long is reported: with 10 requests a second one has waited.
    block_threshold: float = 0.1
    # Silent for this long, with the GIL or without: every thread's stack goes to stderr.
    hang_threshold: float = 5.0
    # A request still without an answer is logged once, with where it waits.
    slow_request: float = 2.0


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults where it says nothing."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
