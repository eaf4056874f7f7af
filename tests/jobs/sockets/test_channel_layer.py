"""Messages to groups of clients, over Redis."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jobs.conftest import Lab
from offload.sockets.channel_layer import BoundedPubSubChannelLayer

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


def test_the_settings_of_a_service_have_the_layer_with_a_bound() -> None:
    from channels.layers import get_channel_layer

    assert isinstance(get_channel_layer(), BoundedPubSubChannelLayer)
