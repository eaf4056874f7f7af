from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer


def notify(channel: str, text: str) -> None:
    """Used by signal receivers and by management commands."""
    async_to_sync(get_channel_layer().send)(channel, {"type": "notice", "text": text})
