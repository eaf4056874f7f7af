"""Submitting a job, beside peers, with Redis up, refusing and silent: `python
tests/peers/submit.py [--json FILE]`.

One client asks each service for a job again and again. A neighbour asks it for `/api/ping` every
20 ms. CPU is that of the web process, for each job; "froze" is the longest time that the neighbour
waited. A request without an answer after 20 seconds has failed. While the broker is up, the first
job of a process is not counted, because it imports and connects. Ours is a generated service. No
worker runs: only the submission is measured.
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from serving import UVICORN, cpu, environment, prepare, served

# Jobs of a run, at most.
MAX_JOBS = 50
# Seconds until a request without an answer has failed, and until a run ends.
ANSWER_TIMEOUT_SECONDS = 20.0
# Seconds between two requests of the neighbour.
NEIGHBOUR_INTERVAL_SECONDS = 0.02
STOCK = [*UVICORN, "serving_apps.stock:application"]
RUNS = {
    "ours": (["offload.serving"], "/api/bench/computing/worker?amount=1"),
    "startproject, .delay()": (STOCK, "/api/delay"),
    "startproject, .delay() in a thread": (STOCK, "/api/in_thread"),
    "FastAPI, .delay()": ([*UVICORN, "submit_apps.fast:application"], "/api/delay"),
}


@contextmanager
def up(port: int, variables: dict[str, str]) -> Iterator[None]:
    """A real broker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "offload_dev.launcher.embedded_valkey"],
        env=variables,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def refusing(port: int, variables: dict[str, str]) -> Iterator[None]:
    """Nothing listens at the port."""
    yield


@contextmanager
def silent(port: int, variables: dict[str, str]) -> Iterator[None]:
    """It accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", port)):
        yield


BROKERS: dict[str, Callable[[int, dict[str, str]], AbstractContextManager[None]]] = {
    "up": up,
    "refusing": refusing,
    "silent": silent,
}


async def ask(pid: int, port: int, path: str, *, warm: bool) -> dict[str, float]:
    """Times in milliseconds; `answered` of `asked` jobs got their 202. `warm`: one job before those
    that count.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=timeout) as session:

        async def get(url: str) -> tuple[float, bool]:
            begun = time.perf_counter()
            try:
                async with session.get(url) as response:
                    await response.read()
                    good = response.status < 300
            except (TimeoutError, aiohttp.ClientError):
                good = False
            return (time.perf_counter() - begun) * 1000, good

        async def neighbour() -> list[float]:
            asked: list[asyncio.Task[tuple[float, bool]]] = []
            try:
                while True:
                    asked.append(asyncio.create_task(get("/api/ping")))
                    await asyncio.sleep(NEIGHBOUR_INTERVAL_SECONDS)
            except asyncio.CancelledError:
                return [ms for ms, _ in [await each for each in asked]]

        await get("/api/ping")
        if warm:
            await get(path)
        listening = asyncio.create_task(neighbour())
        before, begun, jobs = cpu(pid), time.perf_counter(), []
        while len(jobs) < MAX_JOBS and time.perf_counter() - begun < ANSWER_TIMEOUT_SECONDS:
            jobs.append(await get(path))
        spent = cpu(pid) - before
        listening.cancel()
        froze = max(await listening)
    times = sorted(ms for ms, _ in jobs)
    return {
        "cpu": spent / len(jobs) * 1000,
        "p50": times[len(times) // 2],
        "worst": times[-1],
        "asked": len(jobs),
        "answered": sum(good for _, good in jobs),
        "froze": froze,
    }


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """`{service: {broker: figures}}`. A service is started anew for each state of the broker."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in RUNS}
    with tempfile.TemporaryDirectory() as directory:
        prepare(directory)
        for state, broker in BROKERS.items():
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            url = f"redis://127.0.0.1:{port}/0"
            settings = {
                "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
                "PEERS_URLS": "submit_apps.urls",
            }
            with broker(port, environment(directory) | {"REDIS_URL": url}):
                for name, (module, path) in RUNS.items():
                    with served(module, directory, **settings, REDIS_URL=url, PEERS_BROKER=url) as (
                        pid,
                        web,
                    ):
                        found[name][state] = asyncio.run(ask(pid, web, path, warm=state == "up"))
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    arguments = parser.parse_args()
    found: dict[str, Any] = measure()
    heads = "".join(f"{head:>11}" for head in ("p50", "worst", "froze"))
    print(f"{'a submitted job':<36}{'broker':>10}{'CPU':>10}{heads}  answered")
    for name, states in found.items():
        for state, it in states.items():
            times = "".join(f"{it[key]:8.0f} ms" for key in ("p50", "worst", "froze"))
            answered = f"{it['answered']} of {it['asked']}"
            print(f"{name:<36}{state:>10}{it['cpu']:7.1f} ms{times}  {answered}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
