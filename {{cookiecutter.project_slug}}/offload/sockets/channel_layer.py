"""The channel layer: messages to groups of clients, over one Redis subscription of the process."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar
from uuid import uuid4

from channels_redis.core import BoundedQueue
from channels_redis.pubsub import RedisPubSubChannelLayer
from channels_redis.utils import decode_hosts
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from offload.problems import Problem

# Channels' own default for a layer's capacity.
DEFAULT_CAPACITY = 100
# Redis on the same network answers in 1 ms. But one call waits for the other, and after a deploy
# thousands of clients connect at once.
REDIS_TIMEOUT_SECONDS = 5.0
# Seconds without another try after Redis failed, and without another line of the log.
REDIS_PAUSE_SECONDS = 1.0
LOG_PAUSE_SECONDS = 60.0

# Of each connection. redis-py's own would try again for some seconds.
CONNECTION_LIMITS = {
    "socket_timeout": REDIS_TIMEOUT_SECONDS,
    "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
    "retry": Retry(NoBackoff(), 1),
}

T = TypeVar("T")

logger = logging.getLogger("offload.sockets")


class BoundedPubSubChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]
    """`channels_redis.pubsub`, with bounds on what waits for a client, and for Redis.

    1. Its own queues have no bound: for a client that reads slowly every message of its groups was
       kept.
    2. While Redis is away, a message is lost at once, and a channel or a group is refused at once
       with a 503. A WebSocket that is open stays open, and hears its groups again when Redis is
       back.
    3. What a consumer leaves behind that has failed is cleaned up.

    Args:
        hosts: as `channels_redis` takes them.
        capacity: so many messages may wait for one client. One more takes the place of the oldest.
    """

    def __init__(
        self, *args: Any, hosts: Any = None, capacity: int = DEFAULT_CAPACITY, **kwargs: Any
    ) -> None:
        limited = [CONNECTION_LIMITS | host for host in decode_hosts(hosts)]
        super().__init__(*args, hosts=limited, **kwargs)
        self.capacity = capacity
        self._groups_of: defaultdict[str, set[str]] = defaultdict(set)
        # Both by `monotonic()`.
        self._away_until = self._told_until = 0.0

    async def new_channel(self, prefix: str = "specific.") -> str:
        """The name of a channel of its own, for one client.

        Raises:
            Problem: 503, Redis is away.
        """
        layer = self._get_layer()
        channel = f"{layer.prefix}{prefix}{uuid4().hex}"
        try:
            await self._asked(layer._subscribe_to_channel(channel))  # noqa: SLF001
        except BaseException:
            layer.channels.pop(channel, None)
            raise
        # Nobody knows the name yet, so nothing waits in the queue that is replaced here.
        layer.channels[channel] = BoundedQueue(self.capacity)
        return channel

    async def receive(self, channel: str) -> Any:
        """The next message of a channel. Channels cancels this when a consumer ends."""
        try:
            return await self._get_layer().receive(channel)
        except asyncio.CancelledError:
            for group in tuple(self._groups_of.get(channel, ())):
                await self.group_discard(group, channel)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Let a channel have the messages to a group.

        Raises:
            Problem: 503, Redis is away.
        """
        self._groups_of[channel].add(group)
        await self._asked(self._get_layer().group_add(group, channel))

    async def group_discard(self, group: str, channel: str) -> None:
        """Let a channel have no more messages to a group."""
        groups = self._groups_of[channel]
        groups.discard(group)
        if not groups:
            del self._groups_of[channel]
        # Where Redis is away, the subscription stays, and what it brings finds no channel.
        with suppress(RedisError, OSError):
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                await self._get_layer().group_discard(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send to a group. While Redis is away, the message is lost."""
        with suppress(Problem):
            await self._asked(self._get_layer().group_send(group, message))

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to a channel. While Redis is away, the message is lost."""
        with suppress(Problem):
            await self._asked(self._get_layer().send(channel, message))

    async def _asked(self, work: Coroutine[Any, Any, T]) -> T:
        """Ask Redis, but not again at once after it has failed."""
        if monotonic() < self._away_until:
            work.close()
            raise _away()

        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                return await work
        # A `TimeoutError` is an `OSError`.
        except (RedisError, OSError) as error:
            self._away_until = monotonic() + REDIS_PAUSE_SECONDS
            self._tell(error)
            raise _away() from error

    def _tell(self, error: Exception) -> None:
        if monotonic() < self._told_until:
            return
        self._told_until = monotonic() + LOG_PAUSE_SECONDS
        logger.warning(
            "Redis does not answer: until it does, messages to groups are lost, and WebSockets "
            "with a channel layer are refused with 503: %s",
            str(error) or type(error).__name__,
        )


def _away() -> Problem:
    return Problem(
        503, "Redis does not answer. Try again in a moment.", headers={"Retry-After": "1"}
    )


def _is_no_outage(record: logging.LogRecord) -> bool:
    """Whether a record of the library is kept: an outage would be a traceback each second."""
    return not (record.exc_info and isinstance(record.exc_info[1], RedisError | OSError))


logging.getLogger("channels_redis.pubsub").addFilter(_is_no_outage)
