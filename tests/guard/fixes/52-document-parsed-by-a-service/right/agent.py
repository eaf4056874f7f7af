import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from .models import Conversation
from .stores import get_store


@dataclass
class Upload:
    name: str
    media_type: str
    data: bytes


class AgentService:
    def __init__(self, conversation: Conversation):
        self.conversation = conversation

    async def parse_input_documents(self, documents: list[Upload]) -> list[str]:
        store = get_store(self.conversation.collection_id)
        texts = []
        for document in documents:
            text = await asyncio.to_thread(
                store.parse_and_store,
                name=document.name,
                content_type=document.media_type,
                content=document.data,
            )
            texts.append(text)
        return texts

    async def run(self, documents: list[Upload], beat_seconds: float = 15) -> AsyncIterator[str]:
        parsing = asyncio.create_task(self.parse_input_documents(documents))
        try:
            while True:
                done, _ = await asyncio.wait([parsing], timeout=beat_seconds)
                if done:
                    break
                yield ": keep-alive\n\n"
        finally:
            parsing.cancel()
        for text in parsing.result():
            yield f"data: {len(text)}\n\n"
