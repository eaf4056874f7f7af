"""Load from processes of its own: clients who ask again and again, and a neighbour who asks for
little.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import aiohttp
from yarl import URL

# Seconds between two requests of the neighbour.
BEAT = 0.02


@dataclass
class Answers:
    """What the clients saw: milliseconds of each request, and what went wrong."""

    ms: list[float] = field(default_factory=list)
    failed: int = 0
    refused: int = 0
    """Calls that the API refused, as the answers tell."""
    seconds: float = 0.0
    """From the first request to the last answer."""


def ask(url: str, token: str, clients: int, seconds: float, pause: float = 0.0) -> Answers:
    """So many clients at once, each asking again `pause` seconds after its answer, until the
    seconds are over.

    Each asks at least once. A 202 is not the answer: its job is waited for.
    """
    return asyncio.run(_ask(url, token, clients, seconds, pause))


async def _ask(url: str, token: str, clients: int, seconds: float, pause: float) -> Answers:
    answers = Answers()
    async with _session(Authorization=f"Bearer {token}") as session:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(_client(session, url, begun + seconds, pause, answers))
        answers.seconds = time.perf_counter() - begun
    return answers


async def _client(
    session: aiohttp.ClientSession, url: str, until: float, pause: float, answers: Answers
) -> None:
    while True:
        begun = time.perf_counter()
        status, document = await _get(session, url)
        while document.get("status") in ("queued", "running"):
            job = f"/api/jobs/{document['id']}"
            status, document = await _get(session, str(URL(url).with_path(job)))
        ended = time.perf_counter()
        answers.ms.append((ended - begun) * 1000)
        answers.failed += status >= 400 or document.get("status") in ("failed", "cancelled")
        answers.refused += document.get("refused", 0)
        if ended + pause >= until:
            return
        await asyncio.sleep(pause)


def _session(**headers: str) -> aiohttp.ClientSession:
    # As many as are asked for.
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    async with session.get(url, headers={"Prefer": "wait=30"}) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.ok else {}


_stop: Event
_both: Barrier


def prepare(stop: Event, both: Barrier) -> None:
    """Give a fresh process the event that ends `neighbour`, and where it meets the other process."""
    global _stop, _both
    _stop, _both = stop, both


def meet() -> None:
    """Return as soon as both processes are up: the time that they take for it belongs to no way."""
    _both.wait()


def neighbour(url: str) -> list[float]:
    """Ask every 20 ms until told to stop; gives the milliseconds of each request.

    It asks on time, whether or not the one before has its answer: a loop that stands still for half
    a second is late for all 25 requests of that time (a client that waits its turn would count one:
    "coordinated omission").
    """
    return asyncio.run(_neighbour(url))


async def _neighbour(url: str) -> list[float]:
    waited: list[float] = []

    async def one(session: aiohttp.ClientSession) -> None:
        due = time.perf_counter()
        await _get(session, url)
        waited.append((time.perf_counter() - due) * 1000)

    async with _session() as session, asyncio.TaskGroup() as group:
        due = asyncio.get_running_loop().time()
        while not _stop.is_set():
            group.create_task(one(session))
            due += BEAT
            await asyncio.sleep(due - asyncio.get_running_loop().time())
    return waited
