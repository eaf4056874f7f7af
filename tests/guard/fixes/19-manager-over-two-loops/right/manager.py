import asyncio
import contextlib
import json
import logging

import aiohttp
from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)


class Connection:
    def __init__(self, host: str, address: str):
        self.host = host
        self.address = address
        self.outgoing: asyncio.Queue = asyncio.Queue(maxsize=1000)
        self.task: asyncio.Task | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._run(), name=f"relay-{self.host}")

    async def _run(self) -> None:
        timeout = aiohttp.ClientTimeout(sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.ws_connect(f"https://{self.address}/relay/") as socket:
                while True:
                    await socket.send_str(json.dumps(await self.outgoing.get()))


class RelayManager:
    def __init__(self):
        self.connections: dict[str, Connection] = {}
        self.layer = get_channel_layer()

    async def run(self) -> None:
        while True:
            message = await self.layer.receive("relay")
            await self._take(message)

    async def _take(self, message: dict) -> None:
        host = message["host"]
        if message["type"] == "host.offline":
            await self._drop(host)
            return
        if host not in self.connections:
            self.connections[host] = Connection(host, message["address"])
            self.connections[host].start()
        await self.connections[host].outgoing.put(message.get("body"))

    async def _drop(self, host: str) -> None:
        connection = self.connections.pop(host, None)
        if connection is None:
            return
        connection.task.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await connection.task
