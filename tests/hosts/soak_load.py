"""Clients that ask, submit, wait, watch, cancel, and leave at any moment.

`python soak_load.py FILE` reads a `Plan` from the JSON file, runs it, and prints a `Summary` as
JSON. It is a process of its own, so that it takes no turn of the tests. Nothing in it waits without
a deadline.
"""

import asyncio
import itertools
import json
import random
import ssl
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

# A client waits so long for a whole answer, and for the end of a stream.
TIMEOUT_SECONDS = 90.0
# The longest pause of a client between two things that it does.
PAUSE_SECONDS = 0.1
# The longest computing of a job, and the longest time after which a client changes its mind.
JOB_SECONDS = 0.1
PATIENCE_SECONDS = 0.4
# `Prefer: wait=` of a long poll.
POLL_SECONDS = 5
ENDS = ("event: succeeded", "event: failed", "event: cancelled")
# How far a client gets before it leaves.
PHASES = ("connected", "half a head", "half a body", "asked", "first bytes")
LOST = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, TimeoutError)


@dataclass(kw_only=True)
class Plan:
    """What is to be done.

    Attributes:
        seconds: for how long clients begin new things.
        clients: how many there are at once.
        proxies: addresses that clients ask.
        webs: addresses of web processes, which some clients ask themselves.
        name: the host name of the service.
        token: a token of the API.
        log: where jobs write their executions down.
        gate: a file that is never there: jobs that wait for it end when they are cancelled.
        prefix: the names of the jobs begin with it.
    """

    seconds: float
    clients: int
    proxies: list[str]
    webs: list[str]
    name: str
    token: str
    log: str
    gate: str
    prefix: str


@dataclass
class Summary:
    """What became of it.

    Attributes:
        answers: how often what was answered, such as `ask 200`. Of a refusal the text says what
            it lacks, and of a lost connection the error.
        accepted: the ids of the jobs that were answered 202, by their names.
        streams: event streams that were read, by how they ended: `ended`, `left`, or `cut` where
            the service ended one without its last event.
        left: clients that left, by phase.
        faults: what should not have happened, in words.
    """

    answers: Counter[str] = field(default_factory=Counter)
    accepted: dict[str, str] = field(default_factory=dict)
    streams: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Load:
    """The clients."""

    def __init__(self, plan: Plan, session: aiohttp.ClientSession) -> None:
        self.plan = plan
        self.session = session
        self.summary = Summary()
        self._numbers = itertools.count()
        self._tls = _unverified()

    async def run(self) -> Summary:
        """Let all clients do things until the time is over."""
        until = asyncio.get_running_loop().time() + self.plan.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self.plan.clients):
                group.create_task(self._client(until))
        return self.summary

    async def _client(self, until: float) -> None:
        kinds: list[Callable[[], Awaitable[object]]] = [
            *[self.ask] * 4,
            *[self.compute] * 6,
            *[self.leave] * 3,
            self.list_jobs,
        ]
        while asyncio.get_running_loop().time() < until:
            kind = random.choice(kinds)
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS * 2):
                    await kind()
            except LOST as error:
                self.summary.answers[f"{kind.__name__} {error!r}"] += 1
            await asyncio.sleep(random.uniform(0.0, PAUSE_SECONDS))

    # --- what a client does ---

    async def ask(self) -> None:
        """A request that calls upstreams."""
        await self._send("ask", "GET", "/api/fan")

    async def list_jobs(self) -> None:
        """The newest jobs."""
        await self._send("list", "GET", "/api/jobs?limit=20")

    async def compute(self) -> None:
        """Submit a job, and follow it in one of the ways that there are."""
        follow = random.choice((self.poll, self.watch, self.cancel, self.look_away, self.forget))
        job = self._new_job(endless=follow == self.cancel and random.random() < 0.5)
        key = {"Idempotency-Key": str(uuid4())}
        status, document = await self._send("submit", "POST", "/api/count", json=job, headers=key)
        if status != 202:
            return

        self.summary.accepted[job["name"]] = document["id"]
        if random.random() < 0.1:
            status, again = await self._send("again", "POST", "/api/count", json=job, headers=key)
            if status == 202 and again["id"] != document["id"]:
                self.summary.faults.append(f"one key, two jobs: {document['id']}, {again['id']}")
        await follow(document["id"])

    async def poll(self, job_id: str) -> None:
        """Long polls until the job has ended."""
        headers = {"Prefer": f"wait={POLL_SECONDS}"}
        while True:
            status, job = await self._send("poll", "GET", f"/api/jobs/{job_id}", headers=headers)
            if status == 200 and job["finished_at"]:
                return
            await asyncio.sleep(random.uniform(0.0, PAUSE_SECONDS))

    async def watch(self, job_id: str) -> None:
        """The event stream, to its end."""
        url = f"{random.choice(self.plan.proxies)}/api/jobs/{job_id}/events"
        async with self.session.get(url) as answer:
            if not self._counted("watch", answer, await _refusal(answer)):
                return
            last = ""
            async for line in answer.content:
                text = line.decode().strip()
                last = text if text.startswith("event:") else last
        ended = last in ENDS
        self.summary.streams["ended" if ended else "cut"] += 1
        if not ended:
            self.summary.faults.append(f"a stream of {job_id} ended after {last!r}")

    async def cancel(self, job_id: str) -> None:
        """Cancel it, perhaps twice, and wait for its end."""
        await asyncio.sleep(random.uniform(0.0, PATIENCE_SECONDS))
        while True:
            status, _ = await self._send("cancel", "DELETE", f"/api/jobs/{job_id}")
            if status == 202:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        await self.poll(job_id)

    async def look_away(self, job_id: str) -> None:
        """Watch it, or wait for it, and leave before it ends."""
        path = f"/api/jobs/{job_id}" + random.choice(("", "/events"))
        request = f"GET {path} HTTP/1.1\r\n{self._head()}Prefer: wait=5\r\n\r\n".encode()
        await self._leave(request, random.choice(("asked", "first bytes")))
        self.summary.streams["left"] += 1

    async def forget(self, job_id: str) -> None:
        """Nobody asks for it any more."""

    async def leave(self) -> None:
        """Begin a request, and leave."""
        if random.random() < 0.5:
            request = f"GET /api/fan HTTP/1.1\r\n{self._head()}\r\n"
        else:
            body = json.dumps(self._new_job())
            length = f"Content-Length: {len(body)}\r\n"
            request = f"POST /api/count HTTP/1.1\r\n{self._head()}{length}\r\n{body}"
        await self._leave(request.encode(), random.choice(PHASES))

    # --- how ---

    def _new_job(self, endless: bool = False) -> dict[str, Any]:
        return {
            "name": f"{self.plan.prefix}-{next(self._numbers)}",
            "log": self.plan.log,
            "seconds": 0.0 if endless else random.uniform(0.0, JOB_SECONDS),
            "gate": self.plan.gate if endless else "",
        }

    def _head(self) -> str:
        return f"Host: {self.plan.name}\r\nAuthorization: Bearer {self.plan.token}\r\n"

    async def _send(self, what: str, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Send a request to a proxy. Returns the status and the document."""
        url = random.choice(self.plan.proxies) + path
        async with self.session.request(method, url, **more) as answer:
            document = await answer.json(content_type=None)
        self._counted(what, answer, document)
        return answer.status, document

    def _counted(self, what: str, answer: aiohttp.ClientResponse, document: Any) -> bool:
        """Count an answer. Returns whether it is a success."""
        fault = ""
        if answer.status in (429, 503):
            # A refusal says so itself, and when to come again.
            is_problem = isinstance(document, dict) and document.get("status") == answer.status
            fault = "" if is_problem and "Retry-After" in answer.headers else " without its reason"
        self.summary.answers[f"{what} {answer.status}{fault}"] += 1
        return answer.status < 300

    async def _leave(self, request: bytes, phase: str) -> None:
        """Get as far as the phase says, on a connection of its own, and abort it."""
        address = urlsplit(random.choice([*self.plan.proxies, *self.plan.webs]))
        tls = self._tls if address.scheme == "https" else None
        # Where the service closes first, nothing is lost: this client leaves anyway.
        with suppress(*LOST):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    address.hostname, address.port or 443, ssl=tls
                )
                try:
                    await self._get_as_far_as(phase, request, reader, writer)
                finally:
                    writer.transport.abort()
                    await writer.wait_closed()
        self.summary.left[phase] += 1

    async def _get_as_far_as(
        self,
        phase: str,
        request: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        head, separator, body = request.partition(b"\r\n\r\n")
        parts = {
            "connected": b"",
            "half a head": head[: len(head) // 2],
            "half a body": head + separator + body[: len(body) // 2],
        }
        writer.write(parts.get(phase, request))
        await writer.drain()
        if phase == "first bytes":
            await reader.read(20)
        else:
            await asyncio.sleep(random.uniform(0.0, PATIENCE_SECONDS / 2))


async def _refusal(answer: aiohttp.ClientResponse) -> Any:
    return None if answer.status == 200 else await answer.json(content_type=None)


def _unverified() -> ssl.SSLContext:
    """The certificate is of the tests' own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def main(plan: Plan) -> Summary:
    """Run the plan."""
    headers = {"Host": plan.name, "Authorization": f"Bearer {plan.token}"}
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_unverified(), limit=0),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
    ) as session:
        return await Load(plan, session).run()


if __name__ == "__main__":
    found = asyncio.run(main(Plan(**json.loads(Path(sys.argv[1]).read_text()))))
    print(json.dumps(vars(found)))
