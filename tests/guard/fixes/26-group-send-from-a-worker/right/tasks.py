from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer


async def closing_group_send(channel_layer, group: str, message: dict) -> None:
    await channel_layer.group_send(group, message)
    if hasattr(channel_layer, "close_pools"):
        await channel_layer.close_pools()


@shared_task(bind=True)
def broadcast_to_users(self, user_ids: list[int], payload: dict, ignore: str | None = None):
    channel_layer = get_channel_layer()
    async_to_sync(closing_group_send)(
        channel_layer,
        "users",
        {
            "type": "broadcast_to_users",
            "user_ids": user_ids,
            "payload": payload,
            "ignore": ignore,
        },
    )


@shared_task(bind=True)
def broadcast_to_group(self, group: str, payload: dict, ignore: str | None = None):
    channel_layer = get_channel_layer()
    async_to_sync(closing_group_send)(
        channel_layer,
        group,
        {"type": "broadcast_to_group", "payload": payload, "ignore": ignore},
    )
