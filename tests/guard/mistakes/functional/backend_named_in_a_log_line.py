"""A message goes on with a chat, and may change its model."""

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from shop.consumers import ChatConsumer
from shop.models import Chat, ModelBackend


@pytest.mark.django_db(transaction=True)
async def test_a_message_changes_the_model():
    user = await User.objects.acreate(username="ann")
    first = await ModelBackend.objects.acreate(name="a", provider="p")
    second = await ModelBackend.objects.acreate(name="b", provider="p")
    chat = await Chat.objects.acreate(name="c", user=user, backend=first)
    communicator = WebsocketCommunicator(ChatConsumer.as_asgi(), "/chat")
    communicator.scope["user"] = user
    await communicator.connect()
    await communicator.send_json_to({"message": "hi", "sessionId": chat.pk, "llm": "b"})
    assert (await communicator.receive_json_from(timeout=5))["data"] == str(chat.pk)
    await communicator.disconnect()
    assert (await Chat.objects.aget()).backend_id == second.pk
