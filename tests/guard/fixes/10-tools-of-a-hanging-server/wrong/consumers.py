from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .toolkit import RemoteToolkit


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        tools = await RemoteToolkit.load()
        await self.send_json({"tools": [tool.name for tool in tools]})
