import asyncio
import logging
from dataclasses import dataclass

from .passages import query_passages

logger = logging.getLogger(__name__)

TEXT_KINDS = ("org", "markdown", "github", "notion", "pdf")


@dataclass
class Hit:
    passage_id: int
    text: str
    distance: float


def collate(rows, seen: set) -> list[Hit]:
    hits = []
    for row in rows:
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        hits.append(Hit(row["id"], row["text"], row["distance"]))
    return hits


async def run_search(user, question: str, kinds=TEXT_KINDS, limit: int = 5) -> list[Hit]:
    if not question.strip():
        return []
    seen: set[int] = set()
    hits: list[Hit] = []

    pending = [query_passages(user, kind, question) for kind in kinds]
    for rows in await asyncio.gather(*pending):
        hits += collate(rows, seen)

    hits.sort(key=lambda hit: hit.distance)
    logger.debug("%d hits for a question of %d characters", len(hits), len(question))
    return hits[:limit]


async def run_searches(user, questions: list[str]) -> list[list[Hit]]:
    return await asyncio.gather(*(run_search(user, question) for question in questions))
