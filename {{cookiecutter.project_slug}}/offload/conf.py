"""Every setting of `offload/`, typed and in one place.

A service sets `OFFLOAD = Offload(...)` in its Django settings.
"""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Offload:
    """The settings of a service. Times are in seconds and sizes in bytes.

    Raises:
        TypeError: a name is misspelt.
    """

    # --- jobs ---
    # The broker. Events go over its pub/sub, on channels with the prefix below.
    redis_url: str = "redis://127.0.0.1:6379/0"
    # The prefix of the channels: one Redis may serve several services, and pub/sub knows no
    # database numbers.
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
    # A result that is kept in its row. A larger one goes to file storage.
    result_limit: int = 1024 * 1024
    # A result in file storage. A larger one fails the job.
    stored_result_limit: int = 64 * 1024 * 1024
    # So many jobs may wait in one queue; then a submit is answered 503.
    queue_depth: int = 10_000
    # The oldest due job of a queue may be so old; then a submit is answered 503.
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
    # The tokens of open event streams are checked this often: a stream ends so long after its token
    # was revoked or has expired. One query checks all of a process.
    token_check: float = 5.0
    # Event streams and long polls of one owner in a process; one more is answered 429. It is a
    # fifth of `streams_in_flight`: one caller cannot take the places of all the others.
    streams_per_owner: int = 1000

    # --- serving ---
    # False: Django's stock handler, with a thread for every request (docs/decisions/0001 of the
    # template).
    lean: bool = True
    # False: without what only saves microseconds (`offload/serving/fast`).
    fast: bool = True
    # Paths that begin so pass API_MIDDLEWARE; all others pass MIDDLEWARE.
    api_prefixes: tuple[str, ...] = ("/api/", "/health/", "/metrics")
    # Requests to these paths are never shed. Their host is not checked, since a probe asks the
    # process by its address.
    probe_prefixes: tuple[str, ...] = ("/health/", "/metrics")
    # So many requests may be answered at once, and as many bodies be received; then a request is
    # answered 503. Each costs some 100 kB, and a longer wait does not help its client.
    requests_in_flight: int = 1000
    # So many event streams may be open. They are counted apart: they wait, which costs little.
    streams_in_flight: int = 5000
    # A request body. A larger one is answered 413 before all of it is read. A service with file
    # uploads may want more.
    body_limit: int = 10 * 1024 * 1024
    # So many request threads are kept, and so database connections. There are more for a time if
    # these do not come back.
    request_threads: int = 8

    # --- fan-out ---
    # All upstream calls of a request together. Few callers wait longer for an answer.
    request_deadline: float = 10.0

    # --- guard ---
    # A callback that keeps the event loop for this time is reported: with 10 requests a second,
    # one has waited.
    block_threshold: float = 0.1
    # If the loop does not turn for this time, the stack of every thread is written to stderr,
    # whether the GIL is free or not.
    hang_threshold: float = 5.0
    # A request that has no answer after this time is logged once, with the place where it waits.
    slow_request: float = 2.0


def conf() -> Offload:
    """The service's `settings.OFFLOAD`, or the defaults if there is none."""
    found: Offload = getattr(settings, "OFFLOAD", None) or Offload()
    return found
