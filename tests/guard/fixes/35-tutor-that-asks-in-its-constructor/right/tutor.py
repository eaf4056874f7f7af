from django.conf import settings
from openai import AsyncOpenAI


async def converse(problem: str, message: str):
    async with AsyncOpenAI(api_key=settings.OPENAI_KEY, timeout=60) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            stream=True,
            messages=[
                {"role": "system", "content": f"Tutor for this problem: {problem}"},
                {"role": "user", "content": message},
            ],
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
