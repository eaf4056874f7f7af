"""From traffic and costs to what is needed. Plain arithmetic: each line can be checked by hand."""

import math
from dataclasses import dataclass

from benchmarks.capacity.costs import Costs
from offload.conf import Offload

# A process that is busy for more of its time makes its clients wait: with a half, an M/M/1 queue
# doubles the time of a request; with 0.6 it is 2.5 times.
WEB_USE = 0.6
# Jobs may wait a little.
WORKER_USE = 0.7
# A web process keeps room for the streams of another one that dies.
STREAM_USE = 0.8
# Statements of a job: the submit, the claim and the end (`test_statements.py` of the template).
JOB_STATEMENTS = 3
# A process that computes is replaced after so many jobs: `worker_max_tasks_per_child` in
# config/celery.py.
JOBS_OF_A_PROCESS = 200
# Events of a job, besides its reports: its start and its end.
JOB_EVENTS = 2
# Statements of a process in a second without traffic: the checks of logins, rows and the database.
WEB_STATEMENTS, WORKER_STATEMENTS = 5, 3
# Connections of each process, besides request threads and processes that compute.
WEB_CONNECTIONS, WORKER_CONNECTIONS = 3, 2


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What comes in, in a second.

    Args:
        requests: requests, without those that submit jobs.
        queries: queries of one request.
        rows: rows that one request reads.
        calls: upstream calls of one request.
        jobs: jobs.
        job_seconds: seconds of CPU that the function of one job computes.
        reports: reports of progress of one job.
        streams: event streams that are open at one time.
        watchers: of a job that runs: how many streams watch it.
        quota: whether the requests of owners are counted.
        processes_per_host: processes that compute on a host of a worker.
    """

    requests: float = 0.0
    queries: float = 1.0
    rows: float = 1.0
    calls: float = 0.0
    jobs: float = 0.0
    job_seconds: float = 1.0
    reports: float = 0.0
    streams: float = 0.0
    watchers: float = 1.0
    quota: bool = False
    processes_per_host: int = 8

    def times(self, factor: float) -> "Traffic":
        """So many times the traffic, of the same kind."""
        values = dict(vars(self))
        for name in ("requests", "jobs", "streams"):
            values[name] *= factor
        return Traffic(**values)


@dataclass(frozen=True, kw_only=True)
class Need:
    """What the traffic needs. CPU is in cores, memory in MB."""

    web_cpu: float
    web_processes: int
    web_mb: float
    worker_cpu: float
    worker_processes: int
    workers: int
    worker_mb: float
    redis_cpu: float
    database_cpu: float
    statements: float
    connections: int
    publishes_per_process: float
    events_seen_cpu: float
    rows: float
    rows_gb: float


def need(traffic: Traffic, costs: Costs, limits: Offload) -> Need:
    """What the traffic needs, by the costs, within the service's own limits."""
    events = traffic.jobs * (JOB_EVENTS + traffic.reports)
    web_ms = web_milliseconds(traffic, costs)
    processes = _web_processes(traffic, costs, limits, web_ms, events)
    seen = events * costs.event_seen / 1000
    busy = traffic.jobs * (traffic.job_seconds + worker_milliseconds(traffic, costs) / 1000)
    computing = math.ceil(busy / WORKER_USE)
    workers = math.ceil(computing / traffic.processes_per_host)
    statements = (
        traffic.requests * traffic.queries
        + traffic.jobs * (JOB_STATEMENTS + traffic.reports)
        + processes * WEB_STATEMENTS
        + workers * WORKER_STATEMENTS
    )
    rows = traffic.jobs * limits.result_lifetime
    return Need(
        web_cpu=web_ms / 1000 + processes * (costs.web_idle / 1000 + seen),
        web_processes=processes,
        web_mb=processes * costs.web_mb + traffic.streams * costs.stream_kb / 1000,
        worker_cpu=busy + workers * costs.worker_idle / 1000,
        worker_processes=computing,
        workers=workers,
        worker_mb=workers * costs.worker_mb + computing * costs.process_mb,
        redis_cpu=_redis_milliseconds(traffic, costs, processes, events) / 1000,
        database_cpu=statements * costs.statement / 1000,
        statements=statements,
        connections=_connections(traffic, limits, processes, computing, workers),
        publishes_per_process=traffic.jobs / processes,
        events_seen_cpu=seen,
        rows=rows,
        rows_gb=rows * costs.row_kb / 1e6,
    )


def web_milliseconds(traffic: Traffic, costs: Costs) -> float:
    """CPU of all web processes in a second, without what each of them does by itself."""
    read = traffic.queries * costs.query + traffic.rows * costs.row
    request = costs.request + read + traffic.calls * costs.call
    submit = costs.request + costs.submit
    count = costs.count if traffic.quota else 0.0
    watched = traffic.watchers * (JOB_EVENTS + traffic.reports) * costs.event
    alone = traffic.requests * (request + count) + traffic.jobs * (submit + count + watched)
    return alone * costs.web_mixture


def worker_milliseconds(traffic: Traffic, costs: Costs) -> float:
    """CPU of a job in its worker, besides its function."""
    alone = costs.job + costs.renewal / JOBS_OF_A_PROCESS + traffic.reports * costs.report
    return alone * costs.worker_mixture


def _redis_milliseconds(traffic: Traffic, costs: Costs, processes: int, events: float) -> float:
    counts = traffic.requests + traffic.jobs if traffic.quota else 0.0
    # Each web process hears of each event.
    sent = events * processes * costs.redis_send
    return traffic.jobs * costs.redis_job + counts * costs.redis_count + sent


def _web_processes(
    traffic: Traffic, costs: Costs, limits: Offload, web_ms: float, events: float
) -> int:
    # What a process does by itself leaves less of it for requests.
    own = costs.web_idle + events * costs.event_seen
    room = max(1000 * WEB_USE - own, 1.0)
    by_cpu = math.ceil(web_ms / room)
    by_streams = math.ceil(traffic.streams / (limits.streams_in_flight * STREAM_USE))
    return max(1, by_cpu, by_streams)


def _connections(
    traffic: Traffic, limits: Offload, processes: int, computing: int, workers: int
) -> int:
    queries = traffic.requests * traffic.queries + traffic.jobs
    # A request thread keeps its connection, so that all of them are open after a while.
    threads = min(limits.max_request_connections, math.ceil(queries / processes)) if queries else 0
    return processes * (WEB_CONNECTIONS + threads) + workers * WORKER_CONNECTIONS + computing
