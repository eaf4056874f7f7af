"""Messages to groups of clients, over Redis."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from postgresql_server import free_port

from jobs.conftest import Lab
from offload.problems import Problem
from offload.sockets.channel_layer import REDIS_PAUSE_SECONDS, BoundedPubSubChannelLayer
from offload_dev.launcher.embedded_valkey import command

from .in_process import TIMEOUT_SECONDS

CAPACITY = 3


@pytest.fixture
async def layer(web: Lab) -> AsyncIterator[Any]:
    made: Any = BoundedPubSubChannelLayer(hosts=[os.environ["REDIS_URL"]], capacity=CAPACITY)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        yield made
        await made.flush()


async def number_of(layer: Any, channel: str) -> int:
    number: int = (await layer.receive(channel))["number"]
    return number


async def test_the_newest_messages_wait_for_a_client_that_does_not_read(layer: Any) -> None:
    """All of them waited: the library's queues have no bound."""
    reads, reads_not = await layer.new_channel(), await layer.new_channel()
    for channel in (reads, reads_not):
        await layer.group_add("board", channel)
    for number in range(10 * CAPACITY):
        await layer.group_send("board", {"type": "note", "number": number})
        assert await number_of(layer, reads) == number
    waiting = [await number_of(layer, reads_not) for _ in range(CAPACITY)]
    assert waiting == list(range(10 * CAPACITY))[-CAPACITY:]
    assert layer.channels[reads_not].empty()


async def test_while_redis_is_away_messages_are_lost_and_channels_refused_and_nothing_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A publisher failed and lost its client, and each handshake was a 500 that left a queue."""
    layer: Any = BoundedPubSubChannelLayer(hosts=[f"redis://127.0.0.1:{free_port()}/0"])
    await layer.group_send("board", {"type": "note"})
    for _ in range(3):
        with pytest.raises(Problem) as refused:
            await layer.new_channel()
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    assert not layer.channels
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    await layer.flush()


async def test_a_channel_hears_its_groups_again_when_redis_is_back(
    web: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    layer: Any = BoundedPubSubChannelLayer(hosts=[f"redis://127.0.0.1:{port}/0"])
    redis = web.start("redis-of-board", *command(port))
    channel = await _made(layer)
    await layer.group_add("board", channel)
    redis.kill()
    redis.wait()
    await layer.group_send("board", {"type": "note", "number": 1})
    await asyncio.sleep(2 * REDIS_PAUSE_SECONDS)
    redis = web.start("redis-of-board", *command(port))
    hearing = asyncio.create_task(number_of(layer, channel))
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not hearing.done():
            await layer.group_send("board", {"type": "note", "number": 2})
            await asyncio.sleep(0.1)
    assert await hearing == 2
    assert not [record for record in caplog.records if record.exc_info]
    await layer.flush()
    redis.kill()


async def _made(layer: Any) -> str:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            with suppress(Problem):
                channel: str = await layer.new_channel()
                return channel
            await asyncio.sleep(0.1)


async def test_a_consumer_that_has_failed_is_in_no_group(layer: Any) -> None:
    """Its groups were kept, and their subscriptions, as long as the process lived."""
    channel = await layer.new_channel()
    await layer.group_add("board", channel)
    receiving = asyncio.create_task(layer.receive(channel))
    await asyncio.sleep(0)
    receiving.cancel()
    with suppress(asyncio.CancelledError):
        await receiving
    assert not layer.groups
    assert not layer.channels


def test_the_settings_of_a_service_have_the_layer_with_a_bound() -> None:
    from channels.layers import get_channel_layer

    assert isinstance(get_channel_layer(), BoundedPubSubChannelLayer)
