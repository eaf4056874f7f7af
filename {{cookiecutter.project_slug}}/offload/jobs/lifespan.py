"""What a web process keeps open for jobs: its relay, and the hub that serves event streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from offload.jobs import events, relay

_hub: events.Hub | None = None


def hub() -> events.Hub:
    """This process's hub.

    Raises:
        RuntimeError: the application was started without lifespan.
    """
    if _hub is None:
        raise RuntimeError(
            "jobs have no event hub: list jobs.lifespan in config/asgi.py and run uvicorn --lifespan on"
        )
    return _hub


@contextlib.asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Start the relay and the hub, and end both with the application."""
    global _hub
    relay.create().start()
    _hub = events.Hub()
    serving = asyncio.create_task(_hub.run(), name="offload-jobs-hub")
    try:
        yield
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        _hub = None
        await asyncio.to_thread(relay.stop)
