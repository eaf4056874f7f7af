"""What the pages' examples share: a neighbour that measures how long it waits, and a real server.

This is the pages' scaffolding. A service does not import it.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

import httpx
import uvicorn
from django.conf import settings
from django.urls import path

from offload import fanout
from offload.serving import Application

# How long the neighbour sleeps between two turns.
BEAT_SECONDS = 0.005


class Neighbour:
    """Another task on the same event loop. It measures how long it waits for its turns."""

    def __init__(self) -> None:
        self.beats = 0
        """How many turns it had."""
        self.longest = 0.0
        """Its longest wait for a turn, in seconds."""

    async def live(self) -> None:
        """Take turns until the task is cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT_SECONDS)
            self.beats += 1
            self.longest = max(self.longest, time.perf_counter() - before - BEAT_SECONDS)


@contextlib.asynccontextmanager
async def neighbour() -> AsyncIterator[Neighbour]:
    """Run a neighbour during the block: `async with neighbour() as other:`."""
    other = Neighbour()
    living = asyncio.create_task(other.live())
    await asyncio.sleep(2 * BEAT_SECONDS)
    other.beats, other.longest = 0, 0.0
    try:
        yield other
    finally:
        # A block that lasted until the end is measured at the next turn.
        await asyncio.sleep(2 * BEAT_SECONDS)
        living.cancel()


def free_address() -> str:
    """An address on this machine whose port was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.asynccontextmanager
async def serve(
    application: Any, lifespan: Literal["on", "off"] = "off", at: str | None = None
) -> AsyncIterator[str]:
    """Run an ASGI application on uvicorn, with its own thread and event loop; yields its address.

    Args:
        application: the ASGI application.
        lifespan: whether uvicorn runs the application's lifespan.
        at: an address from `free_address()`; by default a free port.
    """
    port = int(at.rpartition(":")[2]) if at else 0
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan=lifespan))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.to_thread(thread.join)


@contextlib.asynccontextmanager
async def service(
    *views: Callable[..., Any],
    middleware: Sequence[str] = (),
    lifespans: Sequence[Any] = (fanout.lifespan,),
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve these views with the service's own application; yields a client for it.

    Each view is at `/api/<name of the view>`.
    """
    settings.ROOT_URLCONF = tuple(path(f"api/{view.__name__}", view) for view in views)
    settings.API_MIDDLEWARE, settings.MIDDLEWARE = [*middleware], []
    # The client closes after the server, because a page may count the server's last answers.
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
        serve(Application(lifespans), lifespan="on") as client.base_url,
    ):
        yield client
