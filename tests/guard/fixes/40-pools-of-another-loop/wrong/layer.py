import itertools
import json

import redis.asyncio as aioredis
from channels.layers import BaseChannelLayer


class RedisLayer(BaseChannelLayer):
    extensions = ["groups"]

    def __init__(self, hosts: list[str], prefix: str = "layer", expiry: int = 60):
        super().__init__(expiry=expiry)
        self.prefix = prefix
        self.hosts = hosts
        self.pools: dict[int, aioredis.Redis] = {}
        self._next = itertools.cycle(range(len(hosts)))

    def connection(self, index: int) -> aioredis.Redis:
        if not 0 <= index < len(self.hosts):
            raise ValueError(f"There are {len(self.hosts)} hosts; {index} was asked for.")
        if index not in self.pools:
            self.pools[index] = aioredis.Redis.from_url(self.hosts[index], socket_timeout=5)
        return self.pools[index]

    async def send(self, channel: str, message: dict) -> None:
        connection = self.connection(next(self._next))
        key = f"{self.prefix}:{channel}"
        await connection.rpush(key, json.dumps(message))
        await connection.expire(key, self.expiry)

    async def receive(self, channel: str) -> dict:
        connection = self.connection(next(self._next))
        while True:
            found = await connection.blpop([f"{self.prefix}:{channel}"], timeout=1)
            if found:
                return json.loads(found[1])
