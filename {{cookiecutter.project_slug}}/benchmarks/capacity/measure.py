"""Measures the costs of this machine, and holds predictions against loads.

The costs come from loads of one kind each, less what the idle service uses. The predictions are of
mixtures, of which one is of a kind that no cost was measured with.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.load import Rate, Spent, loaded, megabytes, postgresql, submitted
from benchmarks.capacity.model import Traffic, need
from benchmarks.compute import rounds_of
from benchmarks.measured_service import MeasuredService, measured_service
from offload.conf import conf

BENCH = "/api/bench"
TYPED = f"{BENCH}/typed/"
QUERY, LIST = f"{BENCH}/orm/async?amount=0", "/api/jobs?limit=40"
CALLS, JOB = f"{BENCH}/waiting/async?amount=20", f"{BENCH}/computing/worker?amount=0"
REPORTING = BENCH + "/reporting?amount={}"
# What these addresses do for a request.
QUERIES_OF_A_REQUEST, CALLS_OF_A_REQUEST = 3, 10
QUERIES_OF_A_LIST, ROWS_OF_A_LIST = 2, 40
STREAMS = 200
# A job reports at most twice a second (`Offload.report_interval`).
REPORTS_PER_SECOND = 2


@dataclass(frozen=True)
class Trial:
    """A load, and the same as the model's traffic."""

    name: str
    traffic: Traffic
    rates: list[Rate]


def trials() -> Iterator[Trial]:
    """Three sizes of what the costs were measured with, and two loads of other views and jobs."""
    idle = Traffic(queries=0, rows=0, job_seconds=0, watchers=0)
    for name, rate in (("small", 10), ("middle", 40), ("large", 100)):
        yield Trial(
            name,
            replace(idle, requests=rate * 1.5, queries=1, calls=10 / 3, jobs=rate / 10),
            [*(Rate(rate / 2, path) for path in (TYPED, QUERY, CALLS)), Rate(rate / 10, JOB)],
        )
    rounds = rounds_of(0.02)
    # Three queries of each sync view, whose 50 rows have one column, and two of each short list.
    yield Trial(
        "other: sync views, short lists, jobs that compute",
        replace(idle, requests=40, queries=2.5, rows=5, jobs=4, job_seconds=0.02),
        [
            Rate(20, f"{BENCH}/orm/sync?amount=50"),
            Rate(20, "/api/jobs?limit=10"),
            Rate(4, f"{BENCH}/computing/worker?amount={rounds}"),
        ],
    )
    # One call, no query; a job of four reports every two seconds, which nobody watches.
    yield Trial(
        "other: single calls, jobs that report",
        Traffic(
            requests=60, queries=0, rows=0, calls=1, jobs=0.5, job_seconds=0, reports=4, watchers=0
        ),
        [Rate(60, f"{BENCH}/one?amount=10"), Rate(0.5, REPORTING.format(4))],
    )


@contextmanager
def one_service(database_url: str | None) -> Iterator[MeasuredService]:
    """A running service with one web process, warm."""
    with measured_service(["web"], database_url) as service:
        rates = [Rate(10, path) for path in (TYPED, QUERY, CALLS, JOB)]
        loaded(service, rates, 3.0)
        yield service


def measure(service: MeasuredService, seconds: float, known: Costs) -> Costs:
    """The costs; what is not measured stays as it is known."""
    idle = loaded(service, [], seconds)

    def each(path: str, per_second: float) -> Spent:
        spent = loaded(service, [Rate(per_second, path)], seconds)
        return Spent(
            (spent.web - idle.web) / per_second,
            (spent.worker - idle.worker) / per_second,
            (spent.redis - idle.redis) / per_second,
            (spent.database - idle.database) / per_second,
        )

    request, query = each(TYPED, 100), each(QUERY, 40)
    # The list needs the jobs of the load before.
    calls, job, listed = each(CALLS, 20), each(JOB, 10), each(LIST, 40)
    per_query = (query.web - request.web) / QUERIES_OF_A_REQUEST
    rows = listed.web - request.web - QUERIES_OF_A_LIST * per_query
    found = replace(
        known,
        web_idle=idle.web,
        worker_idle=idle.worker,
        request=request.web,
        query=per_query,
        row=max(rows, 0.0) / ROWS_OF_A_LIST,
        call=(calls.web - request.web) / CALLS_OF_A_REQUEST,
        submit=job.web - request.web,
        job=job.worker,
        redis_job=job.redis,
        web_mb=megabytes(next(iter(service.webs.values())).process),
        worker_mb=megabytes(service.worker),
        process_mb=statistics.mean(megabytes(each) for each in service.worker.children()),
    )
    if postgresql():
        found = replace(found, statement=query.database / QUERIES_OF_A_REQUEST)
    return _with_streams(service, seconds, found)


def _with_streams(service: MeasuredService, seconds: float, found: Costs) -> Costs:
    """The costs of reports, and of streams that watch a job which reports."""
    length = int(seconds * 2) + 20
    job = submitted(service, REPORTING.format(length))
    time.sleep(2)
    unwatched = loaded(service, [], seconds)
    watched = loaded(service, [], seconds, STREAMS, job)
    return replace(
        found,
        report=max((unwatched.worker - found.worker_idle) / REPORTS_PER_SECOND, 0.0),
        event=max((watched.web - unwatched.web) / REPORTS_PER_SECOND / STREAMS, 0.0),
    )


class Verdict(NamedTuple):
    """Cores that a trial should need, and needed."""

    trial: str
    process: str
    predicted: float
    used: float

    @property
    def error(self) -> float:
        """How much more was predicted than used; a negative number where it was less."""
        return self.predicted / self.used - 1


def verify(service: MeasuredService, seconds: float, costs: Costs) -> Iterator[Verdict]:
    """Hold the predictions against the trials."""
    for trial in trials():
        spent = loaded(service, trial.rates, seconds)
        wanted = need(trial.traffic, costs, conf())
        yield Verdict(trial.name, "web", wanted.web_cpu, spent.web / 1000)
        yield Verdict(trial.name, "worker", wanted.worker_cpu, spent.worker / 1000)
