"""The channel layer: messages to groups of clients, over one Redis subscription of the process."""

from typing import Any

from channels_redis.core import BoundedQueue
from channels_redis.pubsub import RedisPubSubChannelLayer

# Channels' own default for a layer's capacity.
DEFAULT_CAPACITY = 100


class BoundedPubSubChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """`channels_redis.pubsub`, with a bound on what waits for each client.

    Its own queues have none: for a client that reads slowly every message of its groups was kept.

    Args:
        capacity: so many messages may wait for one client. One more takes the place of the oldest.
    """

    def __init__(self, *args: Any, capacity: int = DEFAULT_CAPACITY, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.capacity = capacity

    async def new_channel(self, prefix: str = "specific.") -> str:
        """The name of a channel of its own, for one client.

        Nobody knows the name yet, so nothing waits in the queue that is replaced here.
        """
        layer = self._get_layer()
        channel: str = await layer.new_channel(prefix)
        layer.channels[channel] = BoundedQueue(self.capacity)
        return channel
