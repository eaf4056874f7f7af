"""One way of one row under load: what its clients see, what its processes spend, what its neighbour suffers."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event

import psutil

from benchmarks import load
from benchmarks.rows import MANY, Way
from benchmarks.service import Service

GLANCE = 0.1  # seconds between two looks at the web process
WARMUP_CLIENTS = 8  # as many as a web process keeps threads and connections, and next to no work


@dataclass(frozen=True)
class Figures:
    """What one way cost. Times in milliseconds.

    `cpu` is user and system time a request, of web and workers: all they used meanwhile, with the neighbour's requests
    and what runs when nobody asks. Where there are few requests a second, that is most of it.
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
        return Spent(self.web - then.web, self.workers - then.workers, self.strangers - then.strangers)


def _spent(service: Service, web: psutil.Process) -> Spent:
    ours = sum(_of(process) for process in (psutil.Process(), *psutil.Process().children(recursive=True)))
    workers = sum(_of(process) for process in (service.worker, *service.worker.children(recursive=True)))
    machine = psutil.cpu_times()
    busy = machine.user + machine.system + getattr(machine, "nice", 0.0) + getattr(machine, "steal", 0.0)
    return Spent(_of(web), workers, busy - ours)


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


class Bench:
    """Loads a service from two processes of its own, and watches it meanwhile."""

    def __init__(self, service: Service, pool: ProcessPoolExecutor, stop: Event) -> None:
        self.service = service
        self.pool = pool
        self.stop = stop

    def measure(self, way: Way, web: psutil.Process, amount: int, seconds: float) -> Figures:
        """Run one way for so many seconds, after a warm-up."""
        url, token = f"{self.service.address}{way.path}?amount=", self.service.token
        self.pool.submit(load.ask, f"{url}1", token, min(way.clients, WARMUP_CLIENTS), 0.1).result()
        self.stop.clear()
        listening = self.pool.submit(load.neighbour, f"{self.service.address}/api/bench/ping")
        before, begun = _spent(self.service, web), time.perf_counter()
        asking = self.pool.submit(
            load.ask, f"{url}{amount}", token, way.clients, 0.0 if way.once else seconds, way.pause
        )
        threads = connections = 0
        while not asking.done():
            threads = max(threads, web.num_threads())
            connections = max(connections, self._connections(web))
            time.sleep(GLANCE)
        answers, elapsed = asking.result(), time.perf_counter() - begun
        spent = _spent(self.service, web) - before
        self.stop.set()
        waited = listening.result()
        count = len(answers.ms)
        return Figures(
            requests=count,
            per_second=count / answers.seconds,
            p50=quantile(answers.ms, 0.5),
            p99=quantile(answers.ms, 0.99),
            cpu=(spent.web + spent.workers) / count * 1000,
            cpu_web=spent.web / count * 1000,
            threads=threads,
            connections=connections,
            neighbour_p50=quantile(waited, 0.5),
            neighbour_p99=quantile(waited, 0.99),
            neighbour_worst=max(waited),
            failed=answers.failed,
            refused=answers.refused / (count * MANY),
            strangers=max(0.0, spent.strangers) / elapsed / (psutil.cpu_count() or 1),
        )

    def _connections(self, web: psutil.Process) -> int:
        return sum(file.path == str(self.service.database) for file in web.open_files())


@contextmanager
def bench(service: Service) -> Iterator[Bench]:
    """A bench over a running service."""
    context = get_context("spawn")  # a fork would copy this process's Django into the clients
    stop, both = context.Event(), context.Barrier(2)
    with ProcessPoolExecutor(2, mp_context=context, initializer=load.prepare, initargs=(stop, both)) as pool:
        for met in [pool.submit(load.meet) for _ in range(2)]:
            met.result()
        yield Bench(service, pool, stop)
