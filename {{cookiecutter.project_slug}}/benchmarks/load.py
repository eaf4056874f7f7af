"""The load, from processes of its own: clients of one way, and a neighbour of theirs.

The neighbour is another client of the same web process. It sends small requests, and its waiting
time shows what the way does to others.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import aiohttp
from yarl import URL

NEIGHBOUR_INTERVAL_SECONDS = 0.02


@dataclass
class Answers:
    """What the clients saw.

    Attributes:
        ms: milliseconds of each request.
        failed: how many requests or jobs failed, by their status or the code of their error.
        refused: how many upstream calls the API refused, by the service's answers.
        seconds: from the first request to the last answer.
    """

    ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    seconds: float = 0.0


def ask(url: str, token: str, clients: int, seconds: float, pause: float = 0.0) -> Answers:
    """Send requests from several clients at once, and collect the answers.

    A client that gets 202 waits for the result of its job. That is its answer.

    Args:
        url: what the clients ask for.
        token: their API token.
        clients: how many.
        seconds: how long they go on; each sends at least one request.
        pause: seconds between an answer and the client's next request.
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
        if status >= 400:
            answers.failed[f"status {status}"] += 1
        elif document.get("status") in ("failed", "cancelled"):
            answers.failed[f"job {document['status']}: {document.get('error')}"] += 1
        answers.refused += document.get("refused", 0)
        if ended + pause >= until:
            return
        await asyncio.sleep(pause)


def _session(**headers: str) -> aiohttp.ClientSession:
    # The pool has no limit, so each client gets a connection.
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    async with session.get(url, headers={"Prefer": "wait=30"}) as response:
        text = await response.text()
        return response.status, json.loads(text) if response.ok else {}


_stop: Event
_both: Barrier


def prepare(stop: Event, both: Barrier) -> None:
    """Give a new process the event that ends `neighbour`, and the barrier of `meet`."""
    global _stop, _both
    _stop, _both = stop, both


def meet() -> None:
    """Return when both processes have started, so that their start is not measured."""
    _both.wait()


def neighbour(url: str) -> list[float]:
    """Send a request every 20 ms until the stop; returns the milliseconds of each.

    Each is sent on time, also when the one before has no answer yet. So a loop that is blocked for
    half a second is late for all 25 requests of that time. A client that sends them one after the
    other would count only one ("coordinated omission").
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
            due += NEIGHBOUR_INTERVAL_SECONDS
            await asyncio.sleep(due - asyncio.get_running_loop().time())
    return waited
