import asyncio
import logging

import aiohttp
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from .metrics import Metrics
from .models import Node

logger = logging.getLogger(__name__)


class SocketTask:
    endpoint = "relay"

    def __init__(self, name: str, remote: str):
        self.name = name
        self.remote = remote
        self.channel_layer = None
        self.metrics = Metrics(save_automatically=False)

    async def run_loop(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        raise NotImplementedError

    async def connect(self) -> None:
        self.channel_layer = get_channel_layer()
        timeout = aiohttp.ClientTimeout(sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            url = f"https://{self.remote}/websocket/{self.endpoint}/"
            async with session.ws_connect(url, heartbeat=20) as socket:
                await self.run_loop(socket)


class RelayTask(SocketTask):
    async def run_loop(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            self.metrics.count("messages_received")
            await self.channel_layer.group_send("relay", {"type": "text", "text": message.data})


class Relay:
    def __init__(self, local_name: str):
        self.local_name = local_name
        self.tasks: dict[str, asyncio.Task] = {}

    async def run(self) -> None:
        while True:
            for host in await sync_to_async(Node.objects.others)(self.local_name):
                if host not in self.tasks or self.tasks[host].done():
                    task = RelayTask(name=self.local_name, remote=host)
                    self.tasks[host] = asyncio.create_task(task.connect())
            await asyncio.sleep(30)
