from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .games import announce, play_round
from .models import Game


class GameConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.game_id = self.scope["url_route"]["kwargs"]["game"]
        self.group = f"game_{self.game_id}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive_json(self, content, **kwargs):
        if content.get("action") != "start":
            return
        game = await self.get_game()
        for number in range(1, game.rounds + 1):
            await announce(self, number)
            await play_round(self, number)

    @database_sync_to_async
    def get_game(self) -> Game:
        return Game.objects.get(pk=self.game_id)

    async def game_event(self, event):
        await self.send_json(event["body"])
