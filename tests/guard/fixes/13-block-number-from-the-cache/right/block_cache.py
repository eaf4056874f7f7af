import functools
import time

from asgiref.sync import sync_to_async
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


def _cached_block(wait_seconds: float = 1.0) -> int:
    block = cache.get(KEY)
    if block is not None:
        return block
    if wait_seconds <= 0:
        raise BlockNotCached(KEY)
    time.sleep(wait_seconds)
    return _cached_block(wait_seconds=0)


aget_current_block = sync_to_async(_cached_block, thread_sensitive=False)


def get_current_block() -> int:
    try:
        return _cached_block(wait_seconds=0)
    except BlockNotCached:
        return renew()


def renew() -> int:
    """Called by a periodic task; may take a second."""
    block = _chain(settings.CHAIN_NETWORK).current_block()
    cache.set(KEY, block, timeout=KEPT_SECONDS)
    return block
