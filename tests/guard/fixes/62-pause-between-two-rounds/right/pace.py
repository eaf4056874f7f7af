"""How a game is paced."""

import asyncio
from collections.abc import AsyncIterator

COUNTDOWN = 3
STEP_SECONDS = 1.0


async def countdown(start: int = COUNTDOWN) -> AsyncIterator[int]:
    for left in range(start, 0, -1):
        yield left
        await asyncio.sleep(STEP_SECONDS)
