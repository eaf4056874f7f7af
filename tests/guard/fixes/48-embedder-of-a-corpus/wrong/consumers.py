from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .factory import AgentFactory


class DocumentConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        keys = self.scope["url_route"]["kwargs"]
        self.agent = await AgentFactory.create(int(keys["document"]), int(keys["corpus"]))
        await self.accept()
        await self.send_json({"embedder": self.agent.config.embedder_path})
