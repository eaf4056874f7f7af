"""A slow API with a limit on requests at the same time.

The benchmarks and the examples of the handbook wait for it.
"""

import asyncio
from collections import Counter
from urllib.parse import parse_qs

from sandbox.answer import Scope, Send, answer

# For each path: the requests that are being answered.
_at_once: Counter[str] = Counter()


async def waiting(scope: Scope, send: Send) -> None:
    """`GET /wait/{ms}/{name}?limit=N` is answered after `ms` milliseconds.

    A request is answered 503 at once if `limit` requests for its path are being answered. The
    response says how many there are, itself included: `{"ms": 50, "at_once": 3}`.
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
