import asyncio
import json
import logging
from collections.abc import AsyncGenerator

from django.conf import settings

from .models import TutorTurn
from .tutoring import LanguageModel, message_tutor

log = logging.getLogger(__name__)


class TutorBot:
    def __init__(self, thread_id: str, problem: str):
        self.thread_id = thread_id
        self.problem = problem
        self.model = LanguageModel(settings.OPENAI_KEY)

    async def latest_history(self) -> list[dict]:
        turns = TutorTurn.objects.filter(thread_id=self.thread_id).order_by("-id")
        turn = await turns.afirst()
        return json.loads(turn.history) if turn else []

    async def get_completion(self, message: str) -> AsyncGenerator[str, None]:
        history = await self.latest_history()
        history.append({"role": "user", "content": message})
        full = ""
        try:
            parts, intents = message_tutor(self.model, self.problem, history)
            for part in parts:
                full += part
                yield part
                await asyncio.sleep(0)
            history.append({"role": "assistant", "content": full})
            await TutorTurn.objects.acreate(
                thread_id=self.thread_id, history=json.dumps(history), intents=intents
            )
        except Exception:
            log.exception("The tutor of %s failed", self.thread_id)
            yield "Something went wrong; please try again."
