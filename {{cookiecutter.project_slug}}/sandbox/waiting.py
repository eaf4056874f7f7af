"""An API that takes its time and has its limit: what benchmarks and the handbook's examples wait
for.
"""

import asyncio
from collections import Counter
from urllib.parse import parse_qs

from sandbox.answer import Scope, Send, answer

# Requests in each path's hands.
_at_once: Counter[str] = Counter()


async def waiting(scope: Scope, send: Send) -> None:
    """`GET /wait/{ms}/{name}?limit=N`: answers after `ms` milliseconds, 503 at once to more than
    `limit` at a time.

    The answer tells how many of this path it had in hand: `{"ms": 50, "at_once": 3}`.
    """
    path: str = scope["path"]
    milliseconds = int(path.split("/")[2])
    limit = int(parse_qs(scope["query_string"].decode()).get("limit", ["1000000"])[0])
    _at_once[path] += 1
    document = {"ms": milliseconds, "at_once": _at_once[path]}
    try:
        if _at_once[path] > limit:
            await answer(send, 503, document)
            return
        await asyncio.sleep(milliseconds / 1000)
        await answer(send, 200, document)
    finally:
        _at_once[path] -= 1
