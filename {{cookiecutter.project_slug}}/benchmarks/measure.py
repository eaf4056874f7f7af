"""Measures one way of one row under load: the clients' times, the CPU, the neighbour's times."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import psutil

from benchmarks import load
from benchmarks.measured_service import MeasuredService, WebProcess
from benchmarks.rows import MANY, Way

# How often threads and connections of the web process are counted.
COUNT_INTERVAL_SECONDS = 0.1
# As many as a web process keeps threads and connections; they do next to no work.
WARMUP_CLIENTS = 8
WARMUP_SECONDS = 0.1


@dataclass(frozen=True)
class Figures:
    """What one way cost. All times are milliseconds.

    Attributes:
        requests: how many were answered.
        per_second: requests per second.
        p50, p99: quantiles of the time to the answer.
        cpu: user and system time per request, of web process and worker. It holds all that they
            used meanwhile: the neighbour's requests, too, and what runs without requests. If there
            are few requests per second, that is most of it.
        cpu_web: the part of the web process.
        threads: the most threads of the web process at once.
        connections: the most open database connections of the web process at once.
        neighbour_p50, neighbour_p99, neighbour_worst: how long the neighbour waited.
        failed: how many requests failed, by why: `{"status 503": 2}`.
        refused: share of the upstream calls that the API refused, 0 to 1.
        other_programs: share of the machine that other programs took meanwhile, 0 to 1.
    """

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    cpu_web: float
    threads: int
    connections: int
    neighbour_p50: float
    neighbour_p99: float
    neighbour_worst: float
    failed: dict[str, int]
    refused: float
    other_programs: float


def quantile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far, or between two such readings, by who used them."""

    web: float
    workers: float
    other_programs: float

    def __sub__(self, then: "Spent") -> "Spent":
        return Spent(
            self.web - then.web,
            self.workers - then.workers,
            self.other_programs - then.other_programs,
        )


def _spent(service: MeasuredService, web: psutil.Process) -> Spent:
    ours = sum(
        _of(process) for process in (psutil.Process(), *psutil.Process().children(recursive=True))
    )
    workers = sum(
        _of(process) for process in (service.worker, *service.worker.children(recursive=True))
    )
    machine = psutil.cpu_times()
    busy = (
        machine.user
        + machine.system
        + getattr(machine, "nice", 0.0)
        + getattr(machine, "steal", 0.0)
    )
    return Spent(_of(web), workers, busy - ours)


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # The worker replaces its processes. Linux counts the ones that have ended, too.
    ended = times.children_user + times.children_system
    return float(times.user + times.system + ended)


@dataclass(frozen=True)
class Turn:
    """What was measured while one way had its turn.

    Attributes:
        answers: what the clients saw.
        waited: milliseconds of each of the neighbour's requests.
        spent: CPU seconds.
        elapsed: seconds by the clock.
        threads, connections: the most that the web process had.
    """

    answers: load.Answers
    waited: list[float]
    spent: Spent
    elapsed: float
    threads: int
    connections: int


class Bench:
    """Loads a service from two processes of its own, and measures meanwhile."""

    def __init__(self, service: MeasuredService, pool: ProcessPoolExecutor, stop: Event) -> None:
        self.service = service
        self.pool = pool
        self.stop = stop

    def warm(self, way: Way) -> None:
        """Send requests that do not count: the first ones import, connect and start threads."""
        clients = min(way.clients, WARMUP_CLIENTS)
        self.pool.submit(
            load.ask, self._url(way, 1), self.service.token, clients, WARMUP_SECONDS
        ).result()

    def turn(self, way: Way, amount: int, seconds: float) -> Turn:
        """Load one way for so many seconds, and measure it."""
        web = self.service.webs[way.server]
        self.stop.clear()
        listening = self.pool.submit(load.neighbour, f"{web.address}/api/bench/ping")
        before, begun = _spent(self.service, web.process), time.perf_counter()
        asking = self.pool.submit(
            load.ask,
            self._url(way, amount),
            self.service.token,
            way.clients,
            0.0 if way.once else seconds,
            way.pause,
        )
        threads = connections = 0
        while not asking.done():
            threads = max(threads, web.process.num_threads())
            connections = max(connections, self._connections(web))
            time.sleep(COUNT_INTERVAL_SECONDS)
        answers, elapsed = asking.result(), time.perf_counter() - begun
        spent = _spent(self.service, web.process) - before
        self.stop.set()
        return Turn(answers, listening.result(), spent, elapsed, threads, connections)

    def _url(self, way: Way, amount: int) -> str:
        return f"{self.service.webs[way.server].address}{way.path}?amount={amount}"

    def _connections(self, web: WebProcess) -> int:
        return sum(file.path == str(self.service.database) for file in web.process.open_files())


def figures(turns: Sequence[Turn]) -> Figures:
    """The figures of one way, from all its turns."""
    ms = [each for turn in turns for each in turn.answers.ms]
    waited = [each for turn in turns for each in turn.waited]
    web = sum(turn.spent.web for turn in turns)
    return Figures(
        requests=len(ms),
        per_second=len(ms) / sum(turn.answers.seconds for turn in turns),
        p50=quantile(ms, 0.5),
        p99=quantile(ms, 0.99),
        cpu=(web + sum(turn.spent.workers for turn in turns)) / len(ms) * 1000,
        cpu_web=web / len(ms) * 1000,
        threads=max(turn.threads for turn in turns),
        connections=max(turn.connections for turn in turns),
        neighbour_p50=quantile(waited, 0.5),
        neighbour_p99=quantile(waited, 0.99),
        neighbour_worst=max(waited),
        failed=dict(sum((turn.answers.failed for turn in turns), Counter[str]())),
        refused=sum(turn.answers.refused for turn in turns) / (len(ms) * MANY),
        other_programs=max(0.0, sum(turn.spent.other_programs for turn in turns))
        / sum(turn.elapsed for turn in turns)
        / (psutil.cpu_count() or 1),
    )


@contextmanager
def bench(service: MeasuredService) -> Iterator[Bench]:
    """A bench over a running service."""
    # A fork would copy this process with its Django into the clients.
    context = get_context("spawn")
    stop, both = context.Event(), context.Barrier(2)
    with ProcessPoolExecutor(
        2, mp_context=context, initializer=load.prepare, initargs=(stop, both)
    ) as pool:
        for both_started in [pool.submit(load.meet) for _ in range(2)]:
            both_started.result()
        yield Bench(service, pool, stop)
