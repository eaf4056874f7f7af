"""What a web process opens for jobs.

It opens the relay, the notifier of event streams, the check of their logins, and the probe of the
database.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from offload.jobs.maintenance.runner import create_relay
from offload.jobs.notifier import Notifier
from offload.jobs.services import services
from offload.serving.database_probe import DatabaseProbe


@contextlib.asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Start all four, and end them with the application. `services` has them."""
    create_relay(services).start()
    services.notifier = Notifier()
    services.database_probe = DatabaseProbe()
    services.database_probe.start()
    tasks = (
        asyncio.create_task(services.notifier.run(), name="offload-jobs-notifier"),
        asyncio.create_task(services.watched_logins.run(), name="offload-watched-logins"),
    )

    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        services.notifier = None
        await asyncio.to_thread(services.database_probe.stop)
        services.database_probe = None
        await asyncio.to_thread(services.stop_relay)
