"""Hosts that are cut off, killed, emptied and restarted, with clocks five minutes apart.

What is counted are executions: a worker began to compute. A job has as many of them as attempts,
and one result.
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import httpx
import pytest

from .cluster import (
    CLOCKS,
    PROXIES,
    SLOTS,
    TIMEOUT_SECONDS,
    WEBS,
    WORKERS,
    Cluster,
    CountedJob,
    wait_until_they_compute,
    wait_until_they_succeed,
)
from .compose_proxy import ComposeProxy

# Seconds between two requests of a client.
PAUSE_SECONDS = 0.05


def assert_executed(jobs: list[CountedJob], times: int = 1) -> None:
    """Each job was executed so many times, and each execution was counted as an attempt."""
    for job in jobs:
        status, attempts, _ = job.row()
        assert (status, attempts, len(job.started_on())) == ("succeeded", times, times), job.name


def begun_on(host: str, jobs: list[CountedJob]) -> list[CountedJob]:
    """Those of the jobs whose first execution was on this host."""
    return [job for job in jobs if job.started_on()[0] == host]


@contextmanager
def computing(cluster: Cluster, gate: str) -> Iterator[list[CountedJob]]:
    """Jobs behind a gate, on all slots of both workers.

    At the end of the block the gate is open, and all of them have succeeded.
    """
    jobs = [cluster.job(gate=gate) for _ in range(SLOTS * len(WORKERS))]
    wait_until_they_compute(cluster, jobs)
    assert [len(begun_on(name, jobs)) for name in WORKERS] == [SLOTS] * len(WORKERS)
    yield jobs
    cluster.open_gate(gate)
    wait_until_they_succeed(cluster, jobs)


def test_jobs_spread_over_all_hosts_whose_clocks_are_wrong(cluster: Cluster) -> None:
    # `Date` is the clock of a web process.
    dates = {name: cluster.ask_host(name, "/health/live").headers["Date"] for name in WEBS}
    slow, fast = (datetime.strptime(dates[name], "%a, %d %b %Y %H:%M:%S GMT") for name in WEBS)
    apart = timedelta(seconds=CLOCKS["web2"] - CLOCKS["web1"])
    assert abs(fast - slow - apart) < timedelta(seconds=30), dates

    ((before,),) = cluster.postgres.ask("SELECT now()")
    with computing(cluster, "spread") as jobs:
        pass
    assert_executed(jobs)
    # By the clock of PostgreSQL alone.
    query = (
        "SELECT min(created_at), bool_and(created_at <= started_at AND started_at <= finished_at),"
        " max(finished_at), now() FROM offload_job WHERE created_at > %s"
    )
    ((first_created, in_order, last_finished, after),) = cluster.postgres.ask(query, before)
    assert in_order
    assert before <= first_created <= last_finished <= after


def test_no_job_begins_before_its_time_on_a_host_whose_clock_is_fast(cluster: Cluster) -> None:
    ((now,),) = cluster.postgres.ask("SELECT now()")
    run_at = now + timedelta(seconds=5)
    jobs = {name: cluster.new_job() for name in WEBS}
    for name, job in jobs.items():
        with cluster.client(cluster.url_behind(name)) as client:
            assert job.post(client, run_at=run_at.isoformat()).status_code == 202
    wait_until_they_succeed(cluster, list(jobs.values()))
    query = "SELECT started_at - %s FROM offload_job WHERE id = %s"
    early = {name: cluster.postgres.ask(query, run_at, job.id)[0][0] for name, job in jobs.items()}
    assert min(early.values()) >= timedelta(0), early


def test_a_host_that_was_cut_off_and_brought_back_loses_nothing(cluster: Cluster) -> None:
    with computing(cluster, "cut") as jobs:
        waiting = [cluster.job() for _ in range(4)]
        cluster.hosts["worker1"].cut_off()
    # They came to their ends on the host that nobody reached, and again on the other one.
    wait_until_they_succeed(cluster, waiting)
    cluster.hosts["worker1"].bring_back()
    again = begun_on("worker1", jobs)
    assert {tuple(job.started_on()) for job in again} == {("worker1", "worker2")}
    assert_executed(again, times=2)
    assert_executed([*begun_on("worker2", jobs), *waiting])

    # It works again, and its late results have changed nothing.
    with computing(cluster, "cut again") as later:
        pass
    assert_executed(later)
    assert [job.row()[2] for job in again] == [{"host": "worker2"}] * SLOTS


def test_a_killed_host_costs_one_attempt(cluster: Cluster) -> None:
    with computing(cluster, "kill") as jobs:
        cluster.hosts["worker2"].kill()
    again = begun_on("worker2", jobs)
    assert {tuple(job.started_on()) for job in again} == {("worker2", "worker1")}
    assert_executed(again, times=2)
    assert_executed(begun_on("worker1", jobs))
    cluster.hosts["worker2"].boot()
    cluster.start_worker("worker2")


def test_a_web_host_that_is_cut_off_fails_no_request(cluster: Cluster) -> None:
    with cluster.client() as client:
        cluster.hosts["web1"].cut_off()
        jobs = [cluster.job() for _ in range(3)]
        statuses = Counter(client.get("/api/ping").status_code for _ in range(10))
    cluster.hosts["web1"].bring_back()
    assert statuses == {200: 10}
    wait_until_they_succeed(cluster, jobs)
    assert_executed(jobs)


def test_redis_replaced_by_an_empty_one_loses_no_job(cluster: Cluster) -> None:
    with computing(cluster, "empty") as jobs:
        waiting = [cluster.job() for _ in range(20)]
        cluster.hosts["valkey"].kill()
        # Without a broker jobs are accepted.
        waiting += [cluster.job() for _ in range(2)]
        cluster.hosts["valkey"].boot()
        cluster.start_valkey()
    wait_until_they_succeed(cluster, waiting)
    assert_executed([*jobs, *waiting])


@pytest.mark.parametrize("loses_power", [False, True])
def test_postgresql_restarted_costs_no_attempt(cluster: Cluster, loses_power: bool) -> None:
    gate = f"restart {loses_power}"
    with computing(cluster, gate) as jobs:
        waiting = [cluster.job() for _ in range(4)]
        if loses_power:
            cluster.hosts["postgres"].kill()
            cluster.hosts["postgres"].boot()
        else:
            cluster.postgres.stop()
        # They end while nobody can write it.
        cluster.open_gate(gate)
        ends = [f"end {job.name} " for job in jobs]
        log = waiting[0].log
        cluster.until(lambda: all(end in log.read_text() for end in ends), "the ends")
        cluster.start_postgres()
    wait_until_they_succeed(cluster, waiting)
    assert_executed([*jobs, *waiting])


def test_a_worker_that_reaches_redis_and_not_postgresql_keeps_no_job(cluster: Cluster) -> None:
    worker, postgres = cluster.hosts["worker1"], cluster.hosts["postgres"]
    with computing(cluster, "no database") as jobs:
        worker.cut_off_from(postgres)
    # Those that it computed run again on the other host, and messages that it gets are not lost.
    waiting = [cluster.job() for _ in range(6)]
    wait_until_they_succeed(cluster, waiting)
    worker.bring_back_to(postgres)
    assert {job.started_on()[-1] for job in [*jobs, *waiting]} == {"worker2"}
    assert_executed(begun_on("worker1", jobs), times=2)
    assert_executed([*begun_on("worker2", jobs), *waiting])


def test_a_worker_that_reaches_postgresql_and_not_redis_ends_its_jobs(cluster: Cluster) -> None:
    worker, valkey = cluster.hosts["worker1"], cluster.hosts["valkey"]
    with computing(cluster, "no broker") as jobs:
        worker.cut_off_from(valkey)
    waiting = [cluster.job() for _ in range(6)]
    wait_until_they_succeed(cluster, waiting)
    worker.bring_back_to(valkey)
    assert_executed([*jobs, *waiting])


class Clients:
    """Clients that ask and submit through a proxy, again and again."""

    def __init__(self, cluster: Cluster, proxy: str) -> None:
        self.cluster = cluster
        self.url = cluster.url_of(proxy)
        self.answers: Counter[str] = Counter()
        self.jobs: list[CountedJob] = []
        self.done = threading.Event()

    def ask(self, keeps: bool) -> None:
        """GET, on one connection or on a new one each time."""
        limits = httpx.Limits(max_keepalive_connections=1 if keeps else 0)
        with self.cluster.client(self.url, limits=limits) as client:
            while not self.done.wait(PAUSE_SECONDS):
                self._count(lambda: client.get("/api/ping"))

    def submit(self) -> None:
        """POST jobs."""
        with self.cluster.client(self.url) as client:
            while not self.done.wait(4 * PAUSE_SECONDS):
                job = self.cluster.new_job()
                self._count(lambda job=job: job.post(client, seconds=0.1))  # type: ignore[misc]
                self.jobs.append(job)

    def _count(self, send: Callable[[], httpx.Response]) -> None:
        try:
            answer = send()
        except httpx.TransportError as error:
            self.answers[repr(error)] += 1
        else:
            self.answers[f"{answer.status_code}"] += 1


def test_a_rolling_restart_under_load_loses_no_request_and_no_attempt(
    cluster: Cluster, front: ComposeProxy
) -> None:
    long = [cluster.job(gate="rolling") for _ in WORKERS]
    wait_until_they_compute(cluster, long)
    clients = [Clients(cluster, proxy) for proxy in PROXIES]
    with ThreadPoolExecutor(3 * len(clients)) as threads:
        running = [threads.submit(each.ask, keeps) for each in clients for keeps in (True, False)]
        running += [threads.submit(each.submit) for each in clients]
        try:
            _restart_everything(cluster)
        finally:
            for each in clients:
                each.done.set()
        for client in running:
            client.result(TIMEOUT_SECONDS)
    assert [set(each.answers) for each in clients] == [{"200", "202"}] * 2, [
        each.answers for each in clients
    ]
    cluster.open_gate("rolling")
    jobs = [*long, *clients[0].jobs, *clients[1].jobs]
    wait_until_they_succeed(cluster, jobs)
    # A job that was handed back starts again elsewhere, and has its attempt back.
    assert {job.row()[1] for job in jobs} == {1}
    assert max(len(job.started_on()) for job in long) > 1


def _restart_everything(cluster: Cluster) -> None:
    """In the order of a deploy."""
    for name in WORKERS:
        assert cluster.stop(name) == 0
        cluster.start_worker(name)
    for name in WEBS:
        # uvicorn ends by the signal that it was sent.
        assert cluster.stop(name) == -signal.SIGTERM
        cluster.start_web(name)
