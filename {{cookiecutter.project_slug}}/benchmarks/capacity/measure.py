"""Measures the costs of this machine, and holds predictions against loads.

The costs come from loads of one kind each, less what the idle service uses. The predictions are of
mixtures that are drawn at random (`drawn.py`).
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from benchmarks.capacity.costs import Costs
from benchmarks.capacity.drawn import Trial, drawn, even
from benchmarks.capacity.kinds import BENCH, CALLS, JOB, QUERY, TYPED
from benchmarks.capacity.load import (
    Rate,
    Spent,
    loaded,
    mean_of,
    megabytes,
    postgresql,
    submitted,
)
from benchmarks.capacity.model import (
    JOBS_OF_A_PROCESS,
    need,
    web_milliseconds,
    worker_milliseconds,
)
from benchmarks.measured_service import MeasuredService, measured_service
from offload.conf import conf

LIST = "/api/jobs?limit=40"
REPORTING = BENCH + "/reporting?amount={}"
# What these addresses do for a request.
QUERIES_OF_A_REQUEST, CALLS_OF_A_REQUEST = 3, 10
QUERIES_OF_A_LIST, ROWS_OF_A_LIST = 2, 40
STREAMS = 200
# A job reports at most twice a second (`Offload.report_interval`).
REPORTS_PER_SECOND = 2
# A worker needs less than this to start, and meanwhile its jobs wait.
WORKER_START_SECONDS = 5.0


# Each kind of load is repeated so often, one kind after the other: what else the machine does then
# meets all kinds.
ROUNDS = 3
# A worker that hardly works spends more on a job, because its caches are cold.
JOBS_PER_SECOND, FEW_JOBS_PER_SECOND = 10, 3
# To measure what the replacement of a process costs, each is replaced after so many jobs.
JOBS_OF_A_SHORT_PROCESS = 2
SHORT_JOBS_PER_SECOND = 2


@contextmanager
def one_service(database_url: str | None) -> Iterator[MeasuredService]:
    """A running service with one web process, warm."""
    with measured_service(["web"], database_url) as service:
        rates = [Rate(10, path) for path in (TYPED, QUERY, CALLS, JOB)]
        loaded(service, rates, 3.0)
        yield service


def measure(service: MeasuredService, seconds: float, known: Costs) -> Costs:
    """The costs; what is not measured stays as it is known."""
    spent = _of_each_kind(service, seconds)
    idle = spent["idle"]
    request, query, listed = spent["request"], spent["query"], spent["list"]
    calls, job = spent["calls"], mean_of([spent["jobs"], spent["few jobs"]])
    per_query = (query.web - request.web) / QUERIES_OF_A_REQUEST
    rows = listed.web - request.web - QUERIES_OF_A_LIST * per_query
    found = replace(
        known,
        web_mixture=1.0,
        worker_mixture=1.0,
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
    found = _with_streams(service, seconds, found)
    found = _with_renewals(service, seconds, found, job)
    return _with_mixture(service, seconds * ROUNDS, found)


def _of_each_kind(service: MeasuredService, seconds: float) -> dict[str, Spent]:
    """What one thing of each kind costs, and `idle`: a second in which nothing comes in.

    The rates are those of a mixture. A request that comes 100 times a second and alone costs less.
    """
    loads = {
        "idle": Rate(0, ""),
        "request": Rate(30, TYPED),
        "query": Rate(15, QUERY),
        "calls": Rate(10, CALLS),
        "jobs": Rate(JOBS_PER_SECOND, JOB),
        "few jobs": Rate(FEW_JOBS_PER_SECOND, JOB),
        # It needs the jobs of the loads before.
        "list": Rate(15, LIST),
    }
    rounds: dict[str, list[Spent]] = {name: [] for name in loads}
    for _ in range(ROUNDS):
        for name, rate in loads.items():
            rates = [rate] if rate.per_second else []
            rounds[name].append(loaded(service, rates, seconds / ROUNDS))
    means = {name: mean_of(spent) for name, spent in rounds.items()}
    idle = means["idle"]
    return {
        name: means[name].less(idle, rate.per_second) if rate.per_second else idle
        for name, rate in loads.items()
    }


def _with_renewals(service: MeasuredService, seconds: float, found: Costs, job: Spent) -> Costs:
    """The cost of a process that is replaced, and that of a job without it.

    Args:
        job: what a job has cost, with the replacements that happened to fall into its loads.
    """
    service.replace_worker("--max-tasks-per-child", str(JOBS_OF_A_SHORT_PROCESS))
    rate = Rate(SHORT_JOBS_PER_SECOND, JOB)
    # Until the worker is there, and its first processes were replaced.
    loaded(service, [rate], WORKER_START_SECONDS)
    spent = loaded(service, [rate], seconds).worker
    short = (spent - found.worker_idle) / SHORT_JOBS_PER_SECOND
    share = 1 / JOBS_OF_A_SHORT_PROCESS - job.renewals
    renewal = max((short - job.worker) / share, 0.0) if share > 0 else found.renewal
    service.replace_worker()
    loaded(service, [rate], WORKER_START_SECONDS)
    return replace(found, renewal=renewal, job=max(job.worker - job.renewals * renewal, 0.0))


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


def _with_mixture(service: MeasuredService, seconds: float, found: Costs) -> Costs:
    """How many times as much a mixture of all kinds costs as the kinds do one after the other."""
    trial = even()
    web, worker = _used(service, seconds, found, trial)
    traffic, wanted = trial.traffic, need(trial.traffic, found, conf())
    own_web = wanted.web_cpu - web_milliseconds(traffic, found) / 1000
    own_worker = wanted.worker_cpu - traffic.jobs * worker_milliseconds(traffic, found) / 1000
    return replace(
        found,
        web_mixture=max((web - own_web) / (wanted.web_cpu - own_web), 1.0),
        worker_mixture=max((worker - own_worker) / (wanted.worker_cpu - own_worker), 1.0),
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


def verify(service: MeasuredService, seconds: float, costs: Costs, seed: int) -> Iterator[Verdict]:
    """Hold the predictions against loads that nobody has measured: they are drawn now."""
    for trial in drawn(seed):
        web, worker = _used(service, seconds, costs, trial)
        wanted = need(trial.traffic, costs, conf())
        yield Verdict(trial.name, "web", wanted.web_cpu, web)
        yield Verdict(trial.name, "worker", wanted.worker_cpu, worker)


def _used(
    service: MeasuredService, seconds: float, costs: Costs, trial: Trial
) -> tuple[float, float]:
    """Cores of the web process and of the worker."""
    spent = loaded(service, trial.rates, seconds)
    # A process is replaced after 200 jobs: in a short load that is never or twice, and it costs as
    # much as 20 jobs. Here it counts as often as in the long run.
    extra = spent.renewals - trial.traffic.jobs / JOBS_OF_A_PROCESS
    return spent.web / 1000, (spent.worker - extra * costs.renewal) / 1000
