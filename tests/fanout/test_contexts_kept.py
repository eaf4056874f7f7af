"""What an upstream has for all its callers is in nobody's context, and keeps none of a caller."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from weakref import ref

import pytest

from offload.fanout.sessions import ConnectionSettings, Sessions
from offload.fanout.stalls import LOOK_SECONDS, Stalls
from offload.fanout.tls import TlsFiles

pytestmark = pytest.mark.timeout(30)


class Body:
    """What a service has in a context variable, such as its request."""


of_request: ContextVar[Body] = ContextVar("of_request")


async def kept_by(work: Callable[[], Awaitable[object]]) -> Body | None:
    """What the caller that did this work had in its context, if it is still there."""

    async def call() -> "ref[Body]":
        body = Body()
        of_request.set(body)
        await work()
        return ref(body)

    found = await asyncio.create_task(call())
    # asyncio's own loop keeps a timer that was cancelled until its time.
    await asyncio.sleep(4 * LOOK_SECONDS)
    return found()


@asynccontextmanager
async def under_way(stalls: Stalls, seconds: float) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds) as timeout:
        stalls.enter(timeout)
        try:
            yield
        finally:
            stalls.leave(timeout)


async def test_the_watch_over_a_busy_upstream_keeps_no_first_caller() -> None:
    stalls, first_is_there = Stalls(), asyncio.Event()

    async def first() -> None:
        async with under_way(stalls, 2 * LOOK_SECONDS):
            first_is_there.set()
            await asyncio.sleep(LOOK_SECONDS / 2)

    async def second() -> None:
        await first_is_there.wait()
        async with under_way(stalls, 30):
            await asyncio.sleep(30)

    others = asyncio.create_task(second())
    assert await kept_by(first) is None
    others.cancel()
    await asyncio.wait([others])


async def test_a_renewal_of_certificates_keeps_no_caller() -> None:
    settings = ConnectionSettings(
        upstream="prices",
        max_connections=1,
        keepalive=1.0,
        max_age=60.0,
        connect_timeout=1.0,
        tls=TlsFiles(None, None, None),
    )
    sessions = Sessions(settings, None)
    try:
        assert await kept_by(sessions.renew) is None
    finally:
        await sessions.aclose()
