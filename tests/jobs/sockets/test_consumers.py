"""Consumers that hang or fail: what their clients see, and what is left of them."""

import asyncio
import dataclasses
import logging

import pytest
from django.db import OperationalError

from offload.conf import conf
from offload.problems import Problem
from offload.serving.connection_limits import ConnectionLimits
from offload.serving.types import ASGIApp, Receive, Scope, Send
from offload.sockets.socket_login import SocketLogin

from .client import frame
from .in_process import Client, asked, until

DEADLINE_SECONDS = 0.3
OFTEN_PINGED = {"ws_ping_interval": 0.1, "ws_ping_timeout": 1.0}
BUSY_SECONDS = 2.5
PING_FRAME = 0x89


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


async def pings_answered(client: Client) -> bytes:
    """Answers pings until another frame comes: that frame."""
    while True:
        head = await client.reader.readexactly(2)
        payload = await client.reader.readexactly(head[1])
        if head[0] != PING_FRAME:
            return bytes(head + payload)
        client.writer.write(frame(10, payload))


class Busy:
    """An application that takes its time for a message. Its client has sent another one already."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await self.may_end.wait()
        text = (await receive()).get("text")
        await send({"type": "websocket.send", "text": f"{text} has come"})
        await receive()


async def test_a_client_that_answers_pings_keeps_its_socket_while_its_consumer_is_busy() -> None:
    """Nothing was read meanwhile, so the service closed the WebSocket with 1011."""
    app = Busy()
    async with asked(app, **OFTEN_PINGED) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        client.writer.write(frame(1, b"one") + frame(1, b"two"))
        asyncio.get_running_loop().call_later(BUSY_SECONDS, app.may_end.set)
        assert await pings_answered(client) == b"\x81\x0ctwo has come"
    assert not client.errors


async def test_a_client_that_leaves_while_its_consumer_is_busy_is_noticed() -> None:
    app, limits = Busy(), ConnectionLimits(conf(), 100)
    async with asked(app, limits, **OFTEN_PINGED) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        client.writer.write(frame(1, b"one") + frame(1, b"two"))
        await until(lambda: client.served.read_paused)
        client.writer.transport.abort()
        await until(lambda: not limits.open)
        app.may_end.set()


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


@pytest.mark.parametrize(
    "error", [Problem(503, "Redis does not answer."), OperationalError("the server is away")]
)
async def test_what_does_not_answer_is_a_503_before_the_accept_and_4503_behind_it(
    caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """Each client was a traceback in an outage, and got a 500 or a 1011."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.1)
        if accepts:
            await send({"type": "websocket.accept"})
        raise error

    accepts = False
    async with asked(let_in(app)) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 503")
    accepts = True
    async with asked(let_in(app)) as client:
        assert (await client.answer()).startswith(b"HTTP/1.1 101")
        assert (await client.rest())[2:4] == (4503).to_bytes(2)
    assert not [record for record in caplog.records if record.exc_info]
    assert not client.errors
