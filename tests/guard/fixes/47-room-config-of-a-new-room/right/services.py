from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from .models import Room


def get_modules(room: Room) -> list[dict]:
    modules = []
    for module in room.module_config:
        module = dict(module)
        if module.get("type") == "livestream":
            stream = room.get_current_stream()
            module["config"] = {"hls_url": stream.url if stream else ""}
        modules.append(module)
    return modules


def get_room_config(room: Room, permissions: list[str]) -> dict:
    return {
        "id": str(room.pk),
        "name": room.name,
        "permissions": permissions,
        "modules": get_modules(room),
    }


@database_sync_to_async
def create_room(event_id: int, data: dict) -> Room:
    return Room.objects.create(
        event_id=event_id, name=data["name"], module_config=data.get("modules", [])
    )


async def push_room_info(event_id: int, room: Room, permissions: list[str]) -> dict:
    config = await database_sync_to_async(get_room_config)(room, permissions)
    await get_channel_layer().group_send(
        f"event.{event_id}", {"type": "room.create", "config": config}
    )
    return config
