from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .hooks import use_query
from .models import Item


def load_items(owner_id: int) -> list[dict]:
    return list(Item.objects.filter(owner_id=owner_id).values("id", "text")[:50])


class ComponentConsumer(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content, **kwargs):
        owner_id = self.scope["user"].pk
        self.query = use_query(load_items, {"owner_id": owner_id}, changed=self.render)
        await self.send_json({"html": "<p>Loading</p>"})

    def render(self) -> None:
        self.dirty = True
