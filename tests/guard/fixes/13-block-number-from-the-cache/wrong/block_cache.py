import asyncio
import functools

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.cache import cache

from .chain import Chain

KEY = "current_block"
KEPT_SECONDS = 15


class BlockNotCached(Exception):
    pass


@functools.cache
def _chain(network: str) -> Chain:
    return Chain(network)


async def aget_current_block(wait_seconds: float = 1.0) -> int:
    block = cache.get(KEY)
    if block is not None:
        return block
    if wait_seconds <= 0:
        raise BlockNotCached(KEY)
    await asyncio.sleep(wait_seconds)
    return await aget_current_block(wait_seconds=0)


def get_current_block() -> int:
    try:
        return async_to_sync(aget_current_block)(wait_seconds=0)
    except BlockNotCached:
        return renew()


def renew() -> int:
    """Called by a periodic task; may take a second."""
    block = _chain(settings.CHAIN_NETWORK).current_block()
    cache.set(KEY, block, timeout=KEPT_SECONDS)
    return block
