"""What a web process opens for quotas: connections to Redis, if the settings have a quota."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from offload.access.app_config import app_config


@contextlib.asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Open the app's quota, and close it with the application."""
    quota = app_config().quota
    if quota is None:
        yield
        return

    quota.open()
    try:
        yield
    finally:
        await quota.close()
