"""Lifespan: opens every declared upstream when the service starts, and closes it at its end."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from django.utils.module_loading import autodiscover_modules

from .upstream import declared


@asynccontextmanager
async def lifespan(state: dict[str, Any] | None = None) -> AsyncIterator[None]:
    """Import the `upstreams.py` of every installed app, and open what they declare.

    The import is done here because Django imports views only with the first request.

    Args:
        state: the application's, which upstreams do not need: a command has none.
    """
    autodiscover_modules("upstreams")
    async with AsyncExitStack() as stack:
        for upstream in list(declared):
            await stack.enter_async_context(upstream.open())
        yield
