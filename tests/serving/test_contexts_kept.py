"""What outlives a request is in nobody's context: whatever a service puts there ends with it.

Libraries keep the request itself in a context variable, with its body.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from conftest import once
from django.http import HttpRequest
from django.test import RequestFactory

from offload.access.quota_count import Policy
from offload.access.request_quota import RequestQuota
from offload.serving.scrape import Scrape

current_request: ContextVar[HttpRequest] = ContextVar("current_request")


async def kept_by(work: Callable[[], Awaitable[object]]) -> HttpRequest | None:
    """The request that did this work, if its context is still there after its end."""

    async def request() -> "ref[HttpRequest]":
        made = RequestFactory().get("/")
        current_request.set(made)
        await work()
        return ref(made)

    found = await asyncio.create_task(request())
    await asyncio.sleep(0.01)
    return found()


async def test_the_text_of_the_metrics_keeps_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offload.serving.scrape.make_text", lambda: b"series")
    scrape = Scrape()
    assert await kept_by(lambda: scrape.answer(RequestFactory().get("/metrics"))) is None


@once
async def test_the_connection_of_a_quota_keeps_no_request() -> None:
    quota, connections = RequestQuota(), []

    async def count(*_: object) -> list[tuple[int, int]]:
        connections.append(await asyncio.open_connection("127.0.0.1", port))
        return [(1, 1000)]

    async def serve(_: object, writer: asyncio.StreamWriter) -> None:
        writer.close()

    quota._redis = SimpleNamespace(eval=count)  # type: ignore[assignment]
    policy, request = Policy("owner", 5, 60.0), RequestFactory().get("/")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port: Any = server.sockets[0].getsockname()[1]
        assert await kept_by(lambda: quota.take(request, policy, "ann")) is None
        assert len(connections) == 1
        connections[0][1].close()
