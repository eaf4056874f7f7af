from asgiref.sync import async_to_sync
from celery import shared_task
from channels.layers import get_channel_layer


@shared_task(bind=True)
def broadcast_to_users(self, user_ids: list[int], payload: dict, ignore: str | None = None):
    channel_layer = get_channel_layer()
    async_to_sync(channel_layer.group_send)(
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
    async_to_sync(channel_layer.group_send)(
        group, {"type": "broadcast_to_group", "payload": payload, "ignore": ignore}
    )
