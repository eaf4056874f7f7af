"""The clock sends the time."""

from channels.testing import WebsocketCommunicator
from shop.consumers import ClockConsumer


async def test_the_time_is_sent():
    communicator = WebsocketCommunicator(ClockConsumer.as_asgi(), "/ws/clock/")
    connected, _ = await communicator.connect()
    assert connected
    assert "now" in await communicator.receive_json_from()
    await communicator.disconnect()
