import json
import logging

from channels.generic.websocket import AsyncWebsocketConsumer

from .models import Chat, ChatMessage, ModelBackend

logger = logging.getLogger(__name__)

TITLE_LENGTH = 30


class ChatConsumer(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        data = json.loads(text_data or bytes_data)
        text = data.get("message", "")
        user = self.scope["user"]
        chat = await self.chat_of(data, text, user)
        await ChatMessage.objects.acreate(chat=chat, text=text, role="user")
        await self.send(json.dumps({"type": "session-id", "data": str(chat.pk)}))

    async def chat_of(self, data: dict, text: str, user) -> Chat:
        temperature = data.get("temperature", 0)
        chat_id = data.get("sessionId")
        if not chat_id:
            logger.debug("Creating a new chat")
            return await Chat.objects.acreate(
                name=text[:TITLE_LENGTH], user=user, temperature=temperature
            )
        chat = await Chat.objects.aget(pk=chat_id, user=user)
        if name := data.get("llm"):
            backend = await ModelBackend.objects.aget(name=name)
            logger.debug("Changing the model: %s -> %s", chat.backend, backend)
            chat.backend = backend
        chat.temperature = temperature
        await chat.asave()
        return chat
