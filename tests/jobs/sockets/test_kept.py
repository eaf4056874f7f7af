"""A WebSocket with an error leaves nothing to the garbage collector, which may come late."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

SCOPE = {
    "type": "websocket",
    "scheme": "ws",
    "http_version": "1.1",
    "path": "/ws/jobs",
    "query_string": b"",
    "headers": [(b"host", b"localhost")],
    "subprotocols": [],
    "subprotocol": None,
    "owner": "ann",
    "login": None,
    "scopes": ("read",),
}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def send(message: Any) -> None:
    """The client reads everything."""


async def test_a_message_that_cannot_be_read_keeps_no_consumer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from offload.jobs.notifier import Notifier
    from offload.jobs.services import services
    from offload.sockets.job_consumer import JobConsumer

    kept: list[ref[JobConsumer]] = []
    monkeypatch.setattr(services, "notifier", Notifier())

    class Noted(JobConsumer):
        async def connect(self) -> None:
            kept.append(ref(self))
            await super().connect()

    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    said.put_nowait({"type": "websocket.connect"})
    said.put_nowait({"type": "websocket.receive", "text": "no command"})
    said.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await asyncio.create_task(Noted.as_asgi()(SCOPE, said.get, send))
    assert kept[0]() is None


async def test_a_socket_that_is_refused_keeps_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.sockets import socket_login

    kept: list[ref[Any]] = []
    opening_request = socket_login._opening_request

    def noted(scope: Any) -> Any:
        request = opening_request(scope)
        kept.append(ref(request))
        return request

    monkeypatch.setattr(socket_login, "_opening_request", noted)
    login = socket_login.SocketLogin(send)  # type: ignore[arg-type]
    await asyncio.create_task(login(SCOPE, asyncio.Queue().get, send))
    assert kept[0]() is None
