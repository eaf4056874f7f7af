"""What the examples share: a neighbour who notices when the loop is held, a real server, and a
service on it.
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

# Seconds between two looks of the neighbour.
BEAT = 0.005


class Neighbour:
    """Another request on the same event loop, as it feels a view's work."""

    def __init__(self) -> None:
        self.beats = 0
        """How often it came to its turn."""
        self.longest = 0.0
        """The longest it had to wait for its turn, in seconds."""

    async def live(self) -> None:
        """Come to its turn again and again."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.beats += 1
            self.longest = max(self.longest, time.perf_counter() - before - BEAT)


@contextlib.asynccontextmanager
async def neighbour() -> AsyncIterator[Neighbour]:
    """`async with neighbour() as other:` - what happens inside is what the other has to live with."""
    other = Neighbour()
    living = asyncio.create_task(other.live())
    await asyncio.sleep(2 * BEAT)
    other.beats, other.longest = 0, 0.0
    try:
        yield other
    finally:
        # A silence that lasted to the end is noticed at the next beat.
        await asyncio.sleep(2 * BEAT)
        living.cancel()


@contextlib.asynccontextmanager
async def serve(application: Any, lifespan: Literal["on", "off"] = "off") -> AsyncIterator[str]:
    """An ASGI application on a real uvicorn, with a thread and a loop of its own; gives its
    address.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan=lifespan))
        # offload: allow OFF505: a server of its own, as if it were another process
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
    """The service's own application with these views, each at `/api/<its name>`; gives a client for
    it.
    """
    settings.ROOT_URLCONF = tuple(path(f"api/{view.__name__}", view) for view in views)
    settings.API_MIDDLEWARE, settings.MIDDLEWARE = [*middleware], []
    # The client outlives the server, for its last answers count.
    async with (
        httpx.AsyncClient(timeout=60, trust_env=False) as client,
        serve(Application(lifespans), lifespan="on") as client.base_url,
    ):
        yield client
