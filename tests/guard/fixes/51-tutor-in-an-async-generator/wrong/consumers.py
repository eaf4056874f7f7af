from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .bots import TutorBot


class TutorConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        bot = TutorBot(content["thread"], content["problem"])
        async for part in bot.get_completion(content["message"]):
            await self.send_json({"part": part})
