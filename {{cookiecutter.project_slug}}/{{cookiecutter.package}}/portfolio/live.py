"""Room: event loop. What the live page shows of this process and of the caller's jobs, as events.

One stream has everything, because a browser opens 6 connections to a host over HTTP/1.1. A page
with a stream for each job would use them up, and its next request would wait.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Router
from pydantic_core import to_json

from offload.access import caller
from offload.fanout import breaker_states
from offload.guard import guard_of
from offload.jobs import read_overview, watch_login
from offload.problems import Problem
from offload.serving import release

router = Router()

INTERVAL_SECONDS = 1.0
# Each open page reads the database once in this time: 20 pages cost some 60 queries a second.
MAX_OPEN_PAGES = 20
# Half of them: one caller cannot take the places of all the others.
MAX_PAGES_OF_OWNER = 10
SHOWN_JOBS = 6
# The example's jobs have at most 8 parts; a job of another feature may have many more.
SHOWN_PARTS = 24
SHOWN_BLOCKS = 3
# CPU time that the wrong view takes. The guard reports from 0.1 s on (`block_threshold`).
BLOCK_SECONDS = 1.0

# By owner.
_open_pages: Counter[str] = Counter()


@router.get("", include_in_schema=False)
async def watch(request: HttpRequest) -> StreamingHttpResponse:
    """Server-sent events: the state once a second, until the client leaves.

    Raises:
        Problem: 503, there are `MAX_OPEN_PAGES` already; 429, the caller has half of them.
    """
    owner = caller(request)
    if _open_pages[owner] >= MAX_PAGES_OF_OWNER:
        raise _refusal(429, f"{MAX_PAGES_OF_OWNER} live pages of yours")
    if _open_pages.total() >= MAX_OPEN_PAGES:
        raise _refusal(503, f"{MAX_OPEN_PAGES} live pages")
    # The second header tells nginx not to hold the events back.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(
        _LivePage(request, owner), content_type="text/event-stream", headers=headers
    )


def _refusal(status: int, what: str) -> Problem:
    return Problem(
        status, f"{what} are open, which is the limit: close one.", headers={"Retry-After": "5"}
    )


class _LivePage:
    """The events of one page. Django closes it with its response, read or not."""

    def __init__(self, request: HttpRequest, owner: str) -> None:
        self._request = request
        self._owner = owner
        _open_pages[owner] += 1

    def close(self) -> None:
        _open_pages[self._owner] -= 1
        if not _open_pages[self._owner]:
            del _open_pages[self._owner]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _events(self._request, self._owner)


async def _events(request: HttpRequest, owner: str) -> AsyncIterator[bytes]:
    with watch_login(request) as login:
        since = time.monotonic()
        while not login.ended:
            # A lag that is noted after this moment is in the next state.
            now = time.monotonic()
            overview = await sync_to_async(read_overview)(owner, SHOWN_JOBS, SHOWN_PARTS)
            state = _process(request, since) | vars(overview)
            since = now
            # The stream keeps no thread and no connection to the database while it waits.
            await release()
            yield b"event: state\ndata: " + to_json(state) + b"\n\n"
            await asyncio.sleep(INTERVAL_SECONDS)


def _process(request: HttpRequest, since: float) -> dict[str, Any]:
    """What this process knows, from memory.

    Args:
        request: of the stream.
        since: the lag is the longest one since this moment of `time.monotonic()`.
    """
    guard = guard_of(request)
    state: dict[str, Any] = {
        "lag_ms": round(guard.lags.worst_since(since) * 1000, 1) if guard else None,
        "breakers": breaker_states(),
        "blocks": [],
    }
    # The names of files are for those who develop the service.
    if guard and settings.DEBUG:
        offset = time.time() - time.monotonic()
        blocks = [block for block in guard.blocks.recent() if not block.excused][-SHOWN_BLOCKS:]
        state["blocks"] = [
            # By `id` a page knows what it has shown: `at` changes with the wall clock.
            {"id": block.ended, "at": round(block.ended + offset, 1), "sentence": str(block)}
            for block in blocks
        ]
    return state


async def block_the_loop(request: HttpRequest) -> dict[str, float]:
    """The mistake that the rule forbids: an async view that computes, so that nothing else runs."""
    ends_at = time.thread_time() + BLOCK_SECONDS
    while time.thread_time() < ends_at:
        sum(range(10_000))
    return {"blocked_seconds": BLOCK_SECONDS}


# Production has no such view: whoever may call the API could stop the service with it.
if settings.DEBUG:
    router.post("/block", include_in_schema=False)(block_the_loop)
