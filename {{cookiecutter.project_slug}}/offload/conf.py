"""Every knob of `offload/`, typed, in one place: a service sets `OFFLOAD = Offload(...)` in its Django settings."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The limits of a service. A misspelt name is a `TypeError` at start; times are in seconds, sizes in bytes."""

    # jobs
    redis_url: str = "redis://127.0.0.1:6379/0"  # the broker; events go over its pub/sub, on channels of this prefix:
    events_prefix: str = "offload"  # one Redis may serve several services: pub/sub knows no database numbers
    lease: float = 15.0  # a dead worker's job starts again after this; renewed three times as often
    cancel_grace: float = 1.0  # how long a cancelled job may go without report() before its process is killed
    report_interval: float = 0.5  # between a job's progress writes (SQLite, 4 writers: p99 1 ms; unthrottled 630)
    params_limit: int = 64 * 1024  # a job's parameters: bigger inputs belong in storage, with a reference here
    result_limit: int = 1024 * 1024  # a result kept in its row; a larger one goes to file storage
    stored_result_limit: int = 64 * 1024 * 1024  # a result in file storage; a larger one fails the job
    queue_depth: int = 10_000  # jobs waiting in one queue before a submit is answered 503
    queue_age: float = 3600.0  # age of the oldest due job in a queue before a submit is answered 503
    result_lifetime: float = 7 * 86400.0  # finished jobs are deleted after this, unless the job says otherwise
    worker_grace: float = 20.0  # a worker told to stop waits this long for its jobs (Kubernetes kills after 30 s)
    worker_nice: int = 10  # how far workers give way to the web process, 0 to 19; the default of nice(1)
    worker_silence: float = 15.0  # a worker not heard from for this long is not ready
    idle_stream_heartbeat: float = 15.0  # comment lines keep an idle event stream open through proxies (often 60 s)

    # serving
    lean: bool = True  # False: Django's stock handler, a thread for every request (docs/decisions/0001)
    api_prefixes: tuple[str, ...] = ("/api/", "/health/", "/metrics")  # answered through API_MIDDLEWARE
    probe_prefixes: tuple[str, ...] = ("/health/", "/metrics")  # never shed, and asked for by address
    requests_in_flight: int = 1000  # more are answered 503: each costs some 100 kB, and waits longer than it helps
    streams_in_flight: int = 5000  # open event streams, counted apart: they wait, and that costs little
    body_limit: int = 10 * 1024 * 1024  # of a request; a 413 before it is read whole. A file upload may want more
    request_threads: int = 8  # kept, and so the database connections of a process; more only if these don't come back

    # fan-out
    request_deadline: float = 10.0  # a request's upstream calls altogether: few callers wait longer for an answer

    # guard
    block_threshold: float = 0.1  # the loop silent for this long is reported: with 10 requests a second one has waited
    hang_threshold: float = 5.0  # silent for this long, with the GIL or without: every thread's stack goes to stderr
    slow_request: float = 2.0  # a request still without an answer is logged once, with where it waits


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults where it says nothing."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
