"""What the examples share: a neighbour who notices when the loop is held, a real server, and the service on it."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import uvicorn
from django.conf import settings
from django.urls import path

from offload.serving import Application

BEAT = 0.005  # seconds between two looks of the neighbour


class Neighbour:
    """Another request on the same event loop, as it feels a view's work."""

    def __init__(self) -> None:
        self.beats = 0
        """How often it came to its turn."""
        self.longest = 0.0
        """The longest it had to wait for its turn, in seconds."""

    async def _live(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT)
            self.beats += 1
            self.longest = max(self.longest, time.perf_counter() - before - BEAT)


@contextlib.asynccontextmanager
async def neighbour() -> AsyncIterator[Neighbour]:
    """`async with neighbour() as other:` - what happens inside is what the other has to live with."""
    other = Neighbour()
    living = asyncio.create_task(other._live())
    await asyncio.sleep(2 * BEAT)
    other.beats, other.longest = 0, 0.0
    try:
        yield other
    finally:
        await asyncio.sleep(2 * BEAT)  # a silence that lasted to the end is noticed at the next beat
        living.cancel()


@contextlib.asynccontextmanager
async def serve(application: Any, lifespan: str = "off") -> AsyncIterator[str]:
    """An ASGI application on a real uvicorn, with a thread and a loop of its own; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan=lifespan))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            while not server.started:
                await asyncio.sleep(0.01)
            yield "http://127.0.0.1:{}".format(listening.getsockname()[1])
        finally:
            server.should_exit = True
            await asyncio.to_thread(thread.join)


@contextlib.asynccontextmanager
async def service(*views: Callable[..., Any], lifespans: Sequence[Any] = ()) -> AsyncIterator[str]:
    """The service's own application with these views, each at `/api/<its name>`; gives its address."""
    logging.getLogger("offload.access").setLevel(logging.WARNING)
    settings.ROOT_URLCONF = tuple(path(f"api/{view.__name__}", view) for view in views)
    async with serve(Application(lifespans), lifespan="on") as address:
        yield address
