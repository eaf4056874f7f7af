import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

logger = logging.getLogger(__name__)

PAGE_TIMEOUT_SECONDS = 10


@dataclass
class Turn:
    rows: int = 0
    errors: list[Exception] = field(default_factory=list)


class Transfer:
    """Copies receipts from many workers, once an interval."""

    def __init__(self, peers: Callable[[], Awaitable[list[str]]], save):
        self.peers = peers
        self.save = save

    async def run(self, interval: float, turns: int | None = None) -> None:
        timeout = aiohttp.ClientTimeout(total=PAGE_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            done = 0
            while turns is None or done < turns:
                started = time.monotonic()
                turn = await self._turn(session)
                done += 1
                elapsed = time.monotonic() - started
                logger.info("%d rows, %d errors in %.1f s", turn.rows, len(turn.errors), elapsed)
                if elapsed < interval:
                    await asyncio.sleep(interval - elapsed)

    async def _turn(self, session: aiohttp.ClientSession) -> Turn:
        turn = Turn()
        peers = await self.peers()
        answers = await asyncio.gather(
            *(self._one(session, peer) for peer in peers), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, Exception):
                turn.errors.append(answer)
            else:
                turn.rows += answer
        return turn

    async def _one(self, session: aiohttp.ClientSession, peer: str) -> int:
        async with session.get(f"{peer}/receipts") as answer:
            answer.raise_for_status()
            rows = await answer.json()
        return await self.save(rows)
