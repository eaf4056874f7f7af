from channels.generic.websocket import AsyncJsonWebsocketConsumer

from .services import create_room, push_room_info


class EventConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.event_id = int(self.scope["url_route"]["kwargs"]["event"])
        await self.channel_layer.group_add(f"event.{self.event_id}", self.channel_name)
        await self.accept()

    async def receive_json(self, content, **kwargs):
        if content.get("action") != "room.create":
            await self.send_json({"error": "unknown action"})
            return
        room = await create_room(self.event_id, content["data"])
        config = await push_room_info(self.event_id, room, ["room:view"])
        await self.send_json({"ok": True, "room": config["id"]})

    async def room_create(self, event):
        await self.send_json({"event": "room.create", "room": event["config"]})
