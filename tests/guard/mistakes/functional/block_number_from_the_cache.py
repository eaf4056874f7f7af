"""The number of the newest block comes from the cache."""

from django.core.cache import cache
from django.urls import path
from shop import block_cache, views

urlpatterns = [path("head", views.head)]


async def test_the_cached_block_is_answered(async_client):
    await cache.aset(block_cache.KEY, 7)
    answer = await async_client.get("/head")
    assert answer.json() == {"block": 7}


def test_the_sync_function_gives_it_too():
    cache.set(block_cache.KEY, 8)
    assert block_cache.get_current_block() == 8
