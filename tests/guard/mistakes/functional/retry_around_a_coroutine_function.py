"""The provider gives the model's answer."""

import httpx
from shop.provider import Provider


async def test_the_answer_is_given():
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"text": "hi"}))
    async with httpx.AsyncClient(transport=transport) as client:
        assert await Provider(client).ask("hello") == {"text": "hi"}
