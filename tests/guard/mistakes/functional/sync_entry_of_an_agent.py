"""The agent answers a question."""

import asyncio
import sys
from types import ModuleType, SimpleNamespace

from django.urls import path


class Agent:
    """In place of the library; its sync entry runs a loop, as there."""

    def __init__(self, model, system_prompt):
        pass

    async def run(self, question):
        await asyncio.sleep(0)
        return SimpleNamespace(output=question.upper())

    def run_sync(self, question):
        return asyncio.new_event_loop().run_until_complete(self.run(question))


sys.modules["pydantic_ai"] = ModuleType("pydantic_ai")
sys.modules["pydantic_ai"].Agent = Agent

from shop import views  # noqa: E402

urlpatterns = [path("ask", views.answer)]


async def test_the_agent_answers(async_client):
    answer = await async_client.get("/ask", {"question": "who"})
    assert answer.json() == {"answer": "WHO"}
