"""Consumers that hang or fail: what their clients see, and what is left of them."""

import asyncio
import dataclasses
import logging

import pytest

from offload.conf import conf
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.types import ASGIApp, Receive, Scope, Send
from offload.sockets.socket_login import SocketLogin

from .client import frame
from .in_process import asked, until

DEADLINE_SECONDS = 0.3


@pytest.fixture
def limits() -> ConnectionLimits:
    return ConnectionLimits(dataclasses.replace(conf(), request_timeout=DEADLINE_SECONDS), 100)


class Hanging:
    """An application that waits for ever, before or after its accept."""

    def __init__(self, accepts: bool) -> None:
        self.accepts = accepts
        self.is_running = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.is_running = True
        try:
            if self.accepts:
                await send({"type": "websocket.accept"})
            await asyncio.Event().wait()
        finally:
            self.is_running = False


async def test_a_handshake_that_nobody_answers_is_a_503(
    limits: ConnectionLimits, caplog: pytest.LogCaptureFixture
) -> None:
    app = Hanging(accepts=False)
    async with asked(app, limits) as client:
        head = await client.answer()
        assert head.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in head
        assert b"was not opened within" in await client.rest()
        await until(lambda: not app.is_running)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "/ws had no answer" in record.getMessage()


async def test_a_consumer_that_hangs_ends_some_time_after_its_client_has_left(
    limits: ConnectionLimits, caplog: pytest.LogCaptureFixture
) -> None:
    app = Hanging(accepts=True)
    async with asked(app, limits) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        await asyncio.sleep(2 * DEADLINE_SECONDS)
        assert app.is_running, "an open WebSocket has no deadline"
        client.writer.close()
        await until(lambda: not app.is_running)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert "has not ended" in record.getMessage()


async def test_a_consumer_that_fails_closes_its_socket_with_1011() -> None:
    """Its client saw a connection that broke (1006)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.receive":
            pass
        raise ValueError("a bug")

    async with asked(app) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        client.writer.write(frame(1, b"fail"))
        assert await client.rest() == b"\x88\x02\x03\xf3"
    assert not client.errors


def let_in(app: ASGIApp) -> ASGIApp:
    """The application behind a login that lets everybody in."""

    async def owner(request: object) -> str:
        return "lab"

    login = SocketLogin(app)
    login.logins = (owner,)
    return login


async def test_the_log_has_what_was_answered(
    limits: ConnectionLimits, caplog: pytest.LogCaptureFixture
) -> None:
    """Each WebSocket had a line with the status 101, also where it was never open."""

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        raise ValueError("a bug")

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await send({"type": "websocket.close"})

    caplog.set_level(logging.INFO, "offload.access")
    for app, status in ((failing, 500), (refusing, 403), (Hanging(accepts=False), 503)):
        caplog.clear()
        async with asked(let_in(app), limits) as client:
            assert (await client.answer()).startswith(b"HTTP/1.1 %d" % status)
        assert f"WEBSOCKET /ws {status}" in caplog.messages
