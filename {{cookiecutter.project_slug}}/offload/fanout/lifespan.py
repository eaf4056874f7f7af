"""Opens every declared upstream when the service starts and closes it when the service ends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from django.utils.module_loading import autodiscover_modules

from .upstream import declared


@asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Import every installed app's `upstreams.py`, since Django loads views with the first request,
    and open all.
    """
    autodiscover_modules("upstreams")
    async with AsyncExitStack() as stack:
        for upstream in list(declared):
            await stack.enter_async_context(upstream.open())
        yield
