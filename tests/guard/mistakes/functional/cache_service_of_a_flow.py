"""What is set is got again, from a real server."""

import pytest
from shop.redis_cache import RedisCache


@pytest.fixture
def port(redis_port):
    return redis_port


async def test_what_is_set_is_got(port):
    cache = RedisCache(port=port)
    await cache.set("a", {"b": 1})
    assert await cache.get("a") == {"b": 1}
    closing = getattr(cache._client, "aclose", None)
    if closing:
        await closing()
    else:
        cache._client.close()
