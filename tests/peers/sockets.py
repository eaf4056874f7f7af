"""What a WebSocket costs a web process, in memory: `python tests/peers/sockets.py`.

It opens 1,000 WebSockets to one process of a generated service, subscribes each to a job, and holds
them beside 1,000 event streams of the same job.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
from cookiecutter.main import cookiecutter
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[2]
SOCKETS = 1_000
# An owner has 1,000 places in a process, and a WebSocket with one subscription takes two.
OWNERS = 4
PORT = 8437
PREPARE = f"""
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from uuid import uuid4
from offload.access.models import ApiToken
from offload.jobs.models import Job
found = []
for number in range({OWNERS}):
    owner = f"owner-{{number}}"
    job = Job.objects.create(owner=owner, kind="a", queue="q", params={{}}, max_attempts=1)
    found.append((ApiToken.make(owner)[1], str(job.pk)))
import json; print(json.dumps(found))
"""

Opens = Callable[[str, str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def websocket(token: str, job: str) -> AsyncIterator[None]:
    protocols: Any = ["offload.v1", f"bearer.{token}"]
    address = f"ws://127.0.0.1:{PORT}/ws/jobs"
    async with connect(address, subprotocols=protocols, compression=None, proxy=None) as client:
        await client.send(json.dumps({"type": "subscribe", "jobs": [{"id": job}]}))
        for _ in ("subscribed", "progress"):
            await client.recv()
        yield


@asynccontextmanager
async def event_stream(token: str, job: str) -> AsyncIterator[None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(
        f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\n\r\n".encode()
    )
    await reader.readuntil(b"data: ")
    try:
        yield
    finally:
        writer.close()


async def memory_of(process: psutil.Process, opens: Opens, logins: list[list[str]]) -> float:
    """Kilobytes of the process for each of 1,000 connections."""
    async with AsyncExitStack() as warm:
        for number in range(50):
            await warm.enter_async_context(opens(*logins[number % OWNERS]))
        before = process.memory_info().rss
        async with AsyncExitStack() as stack:
            for number in range(SOCKETS):
                await stack.enter_async_context(opens(*logins[number % OWNERS]))
            await asyncio.sleep(2)
            return float((process.memory_info().rss - before) / SOCKETS / 1000)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        answers = {"websockets": "yes", "example": "no"}
        made = cookiecutter(str(ROOT), no_input=True, output_dir=folder, extra_context=answers)
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "ERROR",
        }
        prepared = subprocess.check_output(
            [sys.executable, "-c", PREPARE], cwd=made, env=environment
        )
        logins = json.loads(prepared)
        command = [sys.executable, "-m", "offload.serving", "--port", str(PORT), "--drain", "0"]
        for name, opens in (("WebSocket", websocket), ("event stream", event_stream)):
            server = subprocess.Popen(command, cwd=made, env=environment)
            try:
                time.sleep(8)
                memory = asyncio.run(memory_of(psutil.Process(server.pid), opens, logins))
                print(f"| {name} | {memory:.0f} kB |")
            finally:
                server.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(30)
                server.kill()


if __name__ == "__main__":
    main()
