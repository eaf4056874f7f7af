"""What the sockets of a client may cost: places, threads, memory, time."""

import asyncio
import contextlib
import dataclasses
import json
import re
import socket
import time
from typing import Any
from uuid import uuid4

import psutil
import pytest

from jobs.conftest import Lab
from jobs.families import claimed
from offload.serving.websocket_protocol import MAX_IDLE_FRAMES

from .client import closed, frame, hear, opened, raw_socket, say, subscribe, until
from .conftest import PLACES, figure

# A client that answers no pings is closed after 40 s. The limits have to hold before.
FLOOD_SECONDS = 30


def flood(client: socket.socket, data: bytes, seconds: float) -> bool:
    """Send again and again without reading; whether the server has cut the connection."""
    client.settimeout(0.5)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            client.send(data)
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_sockets_and_subscriptions_take_the_places_of_their_owner(web: Lab, token: str) -> None:
    from offload.access.models import ApiToken

    jobs = [claimed(web.submit("lab.burn", units=1).pk) for _ in range(PLACES)]
    with opened(web, token) as client:
        subscribe(client, *jobs)
        told = [hear(client) for _ in range(2 * PLACES - 1)]
        (error,) = (each for each in told if each["type"] == "error")
        assert error["problem"]["status"] == 429, "one place is the socket's own"
        with opened(web, token) as another:
            code, reason = closed(another)
            assert (code, f"{PLACES} of your" in reason) == (4429, True)
        with opened(web, ApiToken.make("neighbour")[1]) as neighbour:
            say(neighbour, "unsubscribe", jobs=[str(uuid4())])
            assert hear(neighbour)["type"] == "unsubscribed"
        subscribe(client, jobs[0])
        assert until(client, "subscribed")["id"] == str(jobs[0].pk), "again: no further place"
        say(client, "unsubscribe", jobs=[str(job.pk) for job in jobs])
        until(client, "unsubscribed")
        subscribe(client, jobs[-1])
        assert until(client, "subscribed")["id"] == str(jobs[-1].pk), "the places are free again"
    with opened(web, token) as client:
        subscribe(client, *jobs[1:])
        told = [hear(client) for _ in range(2 * PLACES - 2)]
        assert "error" not in {each["type"] for each in told}, "a closed socket keeps none"


def test_ten_thousand_subscriptions_are_refused_one_by_one(web: Lab, token: str) -> None:
    foreign = str(web.submit("lab.burn", owner="another", units=1).pk)
    with opened(web, token) as client:
        for round_ in range(100):
            ids = [foreign, *(str(uuid4()) for _ in range(99))]
            say(client, "subscribe", jobs=[{"id": each} for each in ids], ref=str(round_))
            statuses = {hear(client)["problem"]["status"] for _ in ids}
            assert statuses == {404}
        say(client, "subscribe", jobs=[{"id": foreign}] * 101)
        assert hear(client)["problem"]["status"] == 422
    web.until(lambda: figure(web, "offload_serving_threads_lent") == 0, "no thread is kept")


def test_sockets_hold_no_threads(web: Lab, token: str) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(web, token)) for _ in range(PLACES // 2)]
        for client in clients:
            subscribe(client, job)
            until(client, "progress")
        streams = "offload_serving_streams_in_flight"
        web.until(lambda: figure(web, streams) == len(clients), "all of them")
        web.until(lambda: figure(web, "offload_serving_threads_lent") == 0, "no thread is kept")


def test_a_message_in_countless_empty_fragments_is_cut_off(web: Lab, token: str) -> None:
    with raw_socket(web, token) as client:
        client.sendall(frame(1, b"x", fin=False))
        assert flood(client, frame(0, fin=False) * 100, FLOOD_SECONDS)


@pytest.mark.parametrize("opcode", [9, 10], ids=["pings", "pongs"])
def test_a_client_with_countless_pings_is_cut_off_and_delays_nobody(
    web: Lab, token: str, opcode: int
) -> None:
    """It took the library 20 us for each, and all that had arrived at once."""
    with raw_socket(web, token) as client:
        client.sendall(frame(opcode) * 10)
        client.sendall(frame(1, b'{"type": "ping"}'))
        received = b""
        while b"pong" not in received:
            received += client.recv(65536)
        client.settimeout(FLOOD_SECONDS)
        with contextlib.suppress(ConnectionError):
            client.sendall(frame(opcode) * 40 * MAX_IDLE_FRAMES)
            while client.recv(65536):
                pass


def test_messages_that_are_sent_ahead_are_answered_in_their_order(web: Lab, token: str) -> None:
    refs = [str(number) for number in range(1000)]
    asked = [frame(1, json.dumps({"type": "ping", "ref": ref}).encode()) for ref in refs]
    with raw_socket(web, token) as client:
        client.sendall(b"".join(asked) + frame(8, b"\x03\xe8"))
        received = b""
        while piece := client.recv(65536):
            received += piece
    answered = re.findall(rb'"type":"pong","ref":"(\d+)"', received)
    # The client closes, and the last of its messages may come after that has been seen.
    assert [ref.decode() for ref in answered] == refs[: len(answered)]
    assert answered


@pytest.mark.parametrize(
    "fields",
    [
        [f"X-{number}: 1" for number in range(150)],
        ["X-Long: " + "x" * 9000],
        ["Content-Length: 1"],
        ["Content-Type: " + ";" * 1000],
    ],
    ids=["many fields", "a long field", "a body", "a long Content-Type"],
)
def test_a_handshake_that_cannot_be_read_is_refused(web: Lab, fields: list[str]) -> None:
    """The library refused it, and uvicorn sent nothing and kept the connection."""
    head = [
        "GET /ws/jobs HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==",
        *fields,
        "",
        "",
    ]
    with socket.create_connection(("127.0.0.1", web.port), 60) as client:
        client.sendall("\r\n".join(head).encode())
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in received


@pytest.mark.parametrize("what", ["pings", "messages"])
def test_a_client_that_reads_nothing_is_cut_off_and_costs_little_memory(
    web: Lab, token: str, what: str
) -> None:
    process = psutil.Process(web.processes["web"].pid)
    before = process.memory_info().rss
    data = frame(9, b"p" * 125) * 50 if what == "pings" else frame(1, b"{}") * 500
    with raw_socket(web, token, receive_buffer=4096) as client:
        assert flood(client, data, FLOOD_SECONDS)
    assert process.memory_info().rss - before < 30 * 2**20
    web.until(lambda: figure(web, "offload_serving_streams_in_flight") == 0, "no socket")


async def test_a_client_that_reads_too_slowly_is_closed_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """In this process: a kernel would hold megabytes before the server has to wait."""
    from offload.jobs.notifier import Notifier
    from offload.jobs.services import services
    from offload.sockets.job_consumer import JobConsumer

    monkeypatch.setattr(services, "notifier", Notifier())
    settings.OFFLOAD = dataclasses.replace(settings.OFFLOAD, write_timeout=0.2)
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    reads = asyncio.Event()

    async def send(message: Any) -> None:
        if message["type"] != "websocket.accept":
            await reads.wait()
        sent.put_nowait(message)

    scope = {"type": "websocket", "subprotocol": None, "owner": "lab", "login": None, "scopes": ()}
    consumer = JobConsumer()
    served = asyncio.create_task(consumer(scope, incoming.get, send))
    async with asyncio.timeout(60):
        incoming.put_nowait({"type": "websocket.connect"})
        assert (await sent.get())["type"] == "websocket.accept"
        incoming.put_nowait({"type": "websocket.receive", "text": "{}"})
        while not consumer.is_closed:  # noqa: ASYNC110  # what sets it is the consumer's own
            await asyncio.sleep(0.01)
        for _ in range(100):
            incoming.put_nowait({"type": "websocket.receive", "text": "{}"})
        reads.set()
        close = await sent.get()
        assert (close["type"], close["code"]) == ("websocket.close", 4408)
        assert "too slowly" in close["reason"]
        incoming.put_nowait({"type": "websocket.disconnect", "code": 4408})
        await served
    assert sent.empty(), "nothing is sent after the close"
