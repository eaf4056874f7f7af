"""One way of one row under load: what its clients see, what its processes spend, what its neighbour
suffers.
"""

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import psutil

from benchmarks import load
from benchmarks.rows import MANY, Way
from benchmarks.service import Service, Web

# Seconds between two looks at the web process.
GLANCE = 0.1
# As many as a web process keeps threads and connections, and next to no work.
WARMUP_CLIENTS = 8


@dataclass(frozen=True)
class Figures:
    """What one way cost. Times in milliseconds.

    `cpu` is user and system time a request, of web and workers: all they used meanwhile, with the
    neighbour's requests and what runs when nobody asks. Where there are few requests a second, that
    is most of it.
    """

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float
    cpu_web: float
    threads: int
    connections: int
    """Most open at once, to the database, by the web process."""
    neighbour_p50: float
    neighbour_p99: float
    neighbour_worst: float
    failed: int
    refused: float
    """Share of the calls that the API refused, 0 to 1."""
    strangers: float
    """Share of the machine that programs of others took meanwhile, 0 to 1."""


def quantile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Spent:
    """CPU seconds so far, or between two such readings: `strangers` are all programs but ours."""

    web: float
    workers: float
    strangers: float

    def __sub__(self, then: "Spent") -> "Spent":
        return Spent(
            self.web - then.web, self.workers - then.workers, self.strangers - then.strangers
        )


def _spent(service: Service, web: psutil.Process) -> Spent:
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
    # Known on Linux; a worker renews its processes.
    ended = times.children_user + times.children_system
    return float(times.user + times.system + ended)


@dataclass(frozen=True)
class Turn:
    """What was seen while one way had its turn: answers, the neighbour's milliseconds, CPU and wall
    seconds.
    """

    answers: load.Answers
    waited: list[float]
    spent: Spent
    elapsed: float
    threads: int
    connections: int


class Bench:
    """Loads a service from two processes of its own, and watches it meanwhile."""

    def __init__(self, service: Service, pool: ProcessPoolExecutor, stop: Event) -> None:
        self.service = service
        self.pool = pool
        self.stop = stop

    def warm(self, way: Way) -> None:
        """Ask before it counts: a process's first requests import, connect and start threads."""
        clients = min(way.clients, WARMUP_CLIENTS)
        self.pool.submit(load.ask, self._url(way, 1), self.service.token, clients, 0.1).result()

    def turn(self, way: Way, amount: int, seconds: float) -> Turn:
        """Load one way for so many seconds."""
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
            time.sleep(GLANCE)
        answers, elapsed = asking.result(), time.perf_counter() - begun
        spent = _spent(self.service, web.process) - before
        self.stop.set()
        return Turn(answers, listening.result(), spent, elapsed, threads, connections)

    def _url(self, way: Way, amount: int) -> str:
        return f"{self.service.webs[way.server].address}{way.path}?amount={amount}"

    def _connections(self, web: Web) -> int:
        return sum(file.path == str(self.service.database) for file in web.process.open_files())


def figures(turns: Sequence[Turn]) -> Figures:
    """One way's turns taken together."""
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
        failed=sum(turn.answers.failed for turn in turns),
        refused=sum(turn.answers.refused for turn in turns) / (len(ms) * MANY),
        strangers=max(0.0, sum(turn.spent.strangers for turn in turns))
        / sum(turn.elapsed for turn in turns)
        / (psutil.cpu_count() or 1),
    )


@contextmanager
def bench(service: Service) -> Iterator[Bench]:
    """A bench over a running service."""
    # A fork would copy this process's Django into the clients.
    context = get_context("spawn")
    stop, both = context.Event(), context.Barrier(2)
    with ProcessPoolExecutor(
        2, mp_context=context, initializer=load.prepare, initargs=(stop, both)
    ) as pool:
        for met in [pool.submit(load.meet) for _ in range(2)]:
            met.result()
        yield Bench(service, pool, stop)
