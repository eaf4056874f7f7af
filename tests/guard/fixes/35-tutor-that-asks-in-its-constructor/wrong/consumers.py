from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .bots import BaseBot, TutorBot


class BotConsumer(AsyncJsonWebsocketConsumer):
    bot: BaseBot | None = None

    def create_bot(self, content: dict) -> BaseBot:
        raise NotImplementedError

    async def receive_json(self, content, **kwargs):
        if self.bot is None:
            self.bot = self.create_bot(content)
        async for part in self.bot.get_completion(content["message"]):
            await self.send_json({"part": part})


class TutorConsumer(BotConsumer):
    def create_bot(self, content: dict) -> BaseBot:
        return TutorBot(
            self.scope["user"].username,
            block=content.get("block"),
            course=content.get("course"),
            title=content.get("title"),
        )
