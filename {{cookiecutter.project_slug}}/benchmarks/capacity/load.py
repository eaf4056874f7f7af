"""A load of fixed rates on a running service, and the CPU that its processes use meanwhile."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean

import aiohttp
import psutil
from django.db import connection

from benchmarks.measured_service import MeasuredService

# After a load its jobs end within this time.
DRAIN_SECONDS = 120.0
DRAIN_INTERVAL_SECONDS = 0.2
# A load is sent again where the machine was too busy to answer all of it.
MAX_TRIES = 3
# A client waits so long for an answer.
TIMEOUT = aiohttp.ClientTimeout(total=120)


@dataclass(frozen=True)
class Rate:
    """Requests of one kind: so many a second, to one path."""

    per_second: float
    path: str


@dataclass(frozen=True)
class Spent:
    """Milliseconds of CPU in a second, and how many processes of the worker were replaced in it."""

    web: float
    worker: float
    redis: float
    database: float = 0.0
    renewals: float = 0.0

    def less(self, idle: "Spent", per_second: float) -> "Spent":
        """The same for one of so many things a second, without what the idle service spends."""
        values = vars(self)
        spent = {name: (value - vars(idle)[name]) / per_second for name, value in values.items()}
        return Spent(**spent)


def mean_of(spent: Sequence[Spent]) -> Spent:
    """The mean of several loads of the same length."""
    return Spent(**{name: fmean(vars(each)[name] for each in spent) for name in vars(spent[0])})


def loaded(
    service: MeasuredService, rates: list[Rate], seconds: float, streams: int = 0, watched: str = ""
) -> Spent:
    """Send a load for so many seconds.

    Args:
        service: the service, of which one web process is loaded.
        rates: what is sent. Each request is sent on time, whether others were answered or not.
        seconds: for how long.
        streams: event streams that are open meanwhile, of the job at the path `watched`.
        watched: the path of a job, as its `Location` says.

    Raises:
        RuntimeError: a request failed, and again each time that the load was sent.
    """
    # Django allows no query on the event loop.
    postgresql()
    for left in reversed(range(MAX_TRIES)):
        try:
            return asyncio.run(_loaded(service, rates, seconds, streams, watched))
        except* RuntimeError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


async def _loaded(
    service: MeasuredService, rates: list[Rate], seconds: float, streams: int, watched: str
) -> Spent:
    base = next(iter(service.webs.values())).address
    headers = {"Authorization": f"Bearer {service.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers, timeout=TIMEOUT) as session,
        AsyncExitStack() as open_streams,
    ):
        for _ in range(streams):
            stream = session.get(f"{base}{watched}/events")
            await open_streams.enter_async_context(stream)
        unfinished = await asyncio.to_thread(_unfinished_jobs)
        before = cpu(service)
        processes = {child.pid for child in service.worker.children()}
        async with asyncio.TaskGroup() as group:
            for rate in rates:
                group.create_task(_send(session, base + rate.path, rate, seconds))
            group.create_task(asyncio.sleep(seconds))
        # The CPU of its last jobs belongs to this load, and not to the next one.
        await asyncio.to_thread(_wait_for_jobs, unfinished)
        after = cpu(service)
        renewed = {child.pid for child in service.worker.children()} - processes
    spent = [(then - now) / seconds * 1000 for now, then in zip(before, after, strict=True)]
    return replace(Spent(*spent), renewals=len(renewed) / seconds)


def _unfinished_jobs() -> int:
    # Django is set up by now.
    from offload.jobs.models import Job

    return Job.objects.filter(finished_at__isnull=True).count()


def _wait_for_jobs(unfinished: int) -> None:
    """Wait until no more jobs than so many have not ended.

    Raises:
        RuntimeError: the worker does not end them.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    while _unfinished_jobs() > unfinished:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the jobs of a load did not end within {DRAIN_SECONDS:g} s")
        time.sleep(DRAIN_INTERVAL_SECONDS)


async def _send(session: aiohttp.ClientSession, url: str, rate: Rate, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        for due in _dues(begun, rate, seconds):
            await asyncio.sleep(due - loop.time())
            group.create_task(_ask(session, url))


def _dues(begun: float, rate: Rate, seconds: float) -> Iterator[float]:
    for number in itertools.count():
        due = begun + number / rate.per_second
        if due >= begun + seconds:
            return
        yield due


async def _ask(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        text = await response.text()
        if not response.ok:
            raise RuntimeError(f"{url} was answered {response.status}: {text[:500]}")


async def _submit(base: str, token: str, path: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as session,
        session.get(base + path) as response,
    ):
        return response.headers["Location"]


def submitted(service: MeasuredService, path: str) -> str:
    """Submit one job; returns its path."""
    base = next(iter(service.webs.values())).address
    return asyncio.run(_submit(base, service.token, path))


def cpu(service: MeasuredService) -> list[float]:
    """Seconds of CPU so far: web process, worker, Redis, and PostgreSQL if it is here."""
    web = next(iter(service.webs.values())).process
    found = [_seconds(web), _seconds(service.worker), _seconds(service.redis)]
    server = postgresql()
    return [*found, _seconds(server)] if server else found


@cache
def postgresql() -> psutil.Process | None:
    """The main process of PostgreSQL, if the service has one, on this machine."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    return psutil.Process(pid).parent() if psutil.pid_exists(pid) else None


def _seconds(process: psutil.Process) -> float:
    """Those of a process and its children, also of children that have ended."""
    return sum(_of(each) for each in (process, *process.children(recursive=True)))


def _of(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def megabytes(process: psutil.Process) -> float:
    """Memory that a process has to itself."""
    return float(process.memory_full_info().uss) / 1e6
