"""What a web process opens for jobs: its relay, and the notifier of its event streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from offload.jobs.background import create_relay
from offload.jobs.notifier import Notifier
from offload.jobs.services import services


@contextlib.asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Start relay and notifier, and end both with the application. `state["jobs"]` has them."""
    state["jobs"] = services
    create_relay(services).start()
    services.notifier = Notifier()
    notifying = asyncio.create_task(services.notifier.run(), name="offload-jobs-notifier")

    try:
        yield
    finally:
        notifying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await notifying
        services.notifier = None
        await asyncio.to_thread(services.stop_relay)
