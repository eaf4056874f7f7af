"""`/ws/jobs` of one web process: events and cancels of several jobs over one WebSocket."""

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import signal
import socket
import struct
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from postgresql_server import free_port

from .conftest import Lab, new_lab
from .families import claimed
from .test_web_process import gauge

if not find_spec("channels"):
    if os.environ.get("REQUIRE_CHANNELS"):
        pytest.fail("REQUIRE_CHANNELS is set and Django Channels is not installed")
    pytest.skip("NO CHANNELS: nobody tried the WebSockets", allow_module_level=True)

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

PLACES = 12
WRITE_TIMEOUT = 4.0
# A client that answers no pings is closed after 40 s. The limits have to hold before.
FLOOD_SECONDS = 30


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A web process and Redis for all tests of this file."""
    os.environ["PORT"] = str(free_port())
    for lab in new_lab(tmp_path_factory.mktemp("sockets")):
        lab.redis()
        start_web(lab)
        yield lab
        assert "Traceback" not in lab.log("web")


def start_web(lab: Lab) -> None:
    lab.web(
        LAB_STREAMS_PER_OWNER=str(PLACES),
        LAB_WRITE_TIMEOUT=str(WRITE_TIMEOUT),
        LOG_LEVEL="INFO",
    )


@pytest.fixture
def token(web: Lab) -> Iterator[str]:
    """A token of "lab". At the end all its sockets are closed."""
    from offload.access.models import ApiToken
    from offload.jobs.models import Job

    yield ApiToken.make("lab")[1]
    for model in (ApiToken, Job):
        model.objects.all().delete()
    web.until(lambda: figure(web, "offload_serving_streams_in_flight") == 0, "no socket")


def figure(lab: Lab, name: str) -> float:
    with httpx.Client(base_url=lab.address, timeout=60, trust_env=False) as client:
        return gauge(client, name)


def opened(lab: Lab, token: str = "", **options: Any) -> ClientConnection:
    """A WebSocket, with the token as a browser sends it."""
    if token:
        options["subprotocols"] = ["offload.v1", f"bearer.{token}"]
    address = lab.address.replace("http", "ws") + options.pop("path", "/ws/jobs")
    return connect(address, open_timeout=60, close_timeout=10, proxy=None, **options)


def say(client: ClientConnection, type_: str, **more: Any) -> None:
    client.send(json.dumps({"type": type_, **more}))


def hear(client: ClientConnection) -> Any:
    """The next message."""
    return json.loads(client.recv(timeout=60))


def subscribe(client: ClientConnection, *jobs: Any, **more: Any) -> None:
    say(client, "subscribe", jobs=[{"id": str(job.pk), **more} for job in jobs])


def until(client: ClientConnection, type_: str) -> Any:
    """The next message of this type."""
    while (told := hear(client))["type"] != type_:
        pass
    return told


def closed(client: ClientConnection) -> tuple[int, str]:
    """How the server closes it."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=60)
    return client.close_code or 0, client.close_reason or ""


def test_a_token_that_may_only_read_watches_and_does_not_cancel(web: Lab, token: str) -> None:
    from offload.access.models import ApiToken

    job = web.submit("lab.burn", units=1)
    with opened(web, ApiToken.make("lab", scope="read")[1]) as client:
        subscribe(client, job)
        assert until(client, "subscribed")["job"]["id"] == str(job.pk)
        say(client, "cancel", job=str(job.pk))
        told = until(client, "error")
        assert (told["problem"]["status"], "`write`" in told["problem"]["detail"]) == (403, True)
    job.refresh_from_db()
    assert job.status == "queued"


def publish(job: Any) -> Any:
    from offload.jobs.services import services

    assert job is not None
    services.events.publish(job)
    return job


def test_one_socket_has_the_events_of_several_jobs_with_their_versions(
    web: Lab, token: str
) -> None:
    from offload.jobs import transitions

    first, second = (claimed(web.submit("lab.burn", units=1).pk) for _ in range(2))
    with opened(web, token) as client:
        assert client.subprotocol == "offload.v1"
        subscribe(client, first, second)
        told = [hear(client) for _ in range(4)]
        assert sorted(each["type"] for each in told) == ["progress"] * 2 + ["subscribed"] * 2
        assert {each["job"]["status"] for each in told} == {"running"}
        web.until(lambda: figure(web, "offload_jobs_events_subscribed") == 1, "the subscription")
        versions = [first.version]
        for fraction in (0.25, 0.5):
            publish(transitions.progress(first, fraction, "on it"))
            told_of = until(client, "progress")
            assert (told_of["id"], told_of["job"]["progress"]) == (str(first.pk), fraction)
            versions.append(told_of["version"])
        assert versions == sorted(set(versions))
        publish(transitions.succeed(second, {"value": 1}, ""))
        ended = until(client, "succeeded")
        assert ended["id"] == ended["job"]["id"] == str(second.pk)
        publish(transitions.fail(first, "the disk is full"))
        assert until(client, "failed")["job"]["error"] == "the disk is full"
        say(client, "unsubscribe", jobs=[str(first.pk)], ref="last")
        assert hear(client) == {
            "type": "unsubscribed",
            "ref": "last",
            "id": None,
            "version": None,
            "job": None,
            "problem": None,
        }


def test_a_client_that_connects_again_has_what_it_missed_and_nothing_twice(
    web: Lab, token: str
) -> None:
    from offload.jobs import transitions

    job = claimed(web.submit("lab.burn", units=1).pk)
    with opened(web, token) as client:
        subscribe(client, job)
        seen = until(client, "progress")["version"]
    with opened(web, token) as client:
        subscribe(client, job, after=seen)
        assert hear(client)["type"] == "subscribed"
        say(client, "unsubscribe", jobs=[str(job.pk)])
        assert hear(client)["type"] == "unsubscribed", "no event: it was seen"
    ended = transitions.succeed(job, {"value": 1}, "")
    assert ended is not None
    with opened(web, token) as client:
        subscribe(client, job, after=seen)
        assert until(client, "succeeded")["version"] == ended.version
        subscribe(client, job, after=ended.version)
        assert (hear(client)["type"], web.submit("lab.burn", units=1).status) == (
            "subscribed",
            "queued",
        )


def test_a_job_is_cancelled_over_the_socket_while_a_worker_computes_it(
    web: Lab, token: str
) -> None:
    web.worker()
    job = web.submit("lab.burn", units=100_000)
    with opened(web, token) as client:
        subscribe(client, job)
        web.computes(job)
        say(client, "cancel", job=str(job.pk), ref="c")
        answer = until(client, "accepted")
        assert (answer["ref"], answer["id"]) == ("c", str(job.pk))
        assert until(client, "cancelled")["job"]["status"] == "cancelled"
    web.kill("worker")


def test_other_owners_jobs_and_those_that_are_none_are_404(web: Lab, token: str) -> None:
    foreign = web.submit("lab.burn", owner="another", units=1)
    with opened(web, token) as client:
        for job_id in (str(foreign.pk), str(uuid4())):
            say(client, "subscribe", jobs=[{"id": job_id}], ref="s")
            say(client, "cancel", job=job_id, ref="c")
            for ref in "sc":
                told = hear(client)
                assert (told["type"], told["ref"]) == ("error", ref)
                assert told["problem"]["status"] == 404
    foreign.refresh_from_db()
    assert foreign.status == "queued"


def test_what_no_event_has_told_comes_when_the_rows_are_read_again(web: Lab, token: str) -> None:
    from offload.jobs import transitions

    ending, expiring = (claimed(web.submit("lab.burn", units=1).pk) for _ in range(2))
    with opened(web, token) as client:
        subscribe(client, ending, expiring)
        for _ in range(4):
            hear(client)
        expired = str(expiring.pk)
        expiring.delete()
        assert transitions.succeed(ending, {"value": 1}, "")
        told = {(each["type"], each["id"]) for each in (hear(client), hear(client))}
        assert told == {("expired", expired), ("succeeded", str(ending.pk))}


# --- who gets in ---


def refused(web: Lab, **options: Any) -> tuple[int, Any]:
    with pytest.raises(InvalidStatus) as raised, opened(web, **options):
        pass
    answer = raised.value.response
    kind = answer.headers["Content-Type"]
    return answer.status_code, json.loads(answer.body) if "json" in kind else {}


def test_nobody_opens_a_socket_without_a_login(web: Lab, token: str) -> None:
    bearer = {"Authorization": f"Bearer {token}"}
    foreign = "https://evil.example"
    status, problem = refused(web)
    assert (status, problem["title"]) == (401, "Unauthorized")
    assert refused(web, token="wrong")[0] == 401
    assert refused(web, path=f"/ws/jobs?token={token}")[0] == 401, "never in the URL"
    assert refused(web, additional_headers={"Host": "evil.example"}, token=token)[0] == 403
    assert refused(web, path="/ws/other", token=token)[0] == 404
    with opened(web, additional_headers=bearer) as client:
        assert client.subprotocol is None
    with opened(web, token, origin=foreign) as client:
        say(client, "unsubscribe", jobs=[str(uuid4())])
        assert hear(client)["type"] == "unsubscribed", "a token is sent by who has it"
    log = web.log("web")
    web.until(lambda: "WEBSOCKET /ws/jobs 401" in web.log("web"), "the line of a refusal")
    web.until(lambda: "WEBSOCKET /ws/jobs 101" in web.log("web"), "the line of a socket")
    assert "WEBSOCKET /ws/other 404" in log
    assert token not in log
    assert "without completing handshake" not in log, "a refusal is no error of the service"


def session_of(name: str) -> str:
    from django.contrib.auth.models import User
    from django.test import Client

    browser = Client()
    browser.force_login(User.objects.create_user(name))
    return browser.cookies["sessionid"].value


@pytest.fixture
def session(web: Lab) -> Iterator[str]:
    """The session of a user "lab"."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.models import Session

    yield session_of("lab")
    for model in (User, Session):
        model.objects.all().delete()


def test_a_session_is_taken_from_the_services_own_pages_alone(
    web: Lab, token: str, session: str
) -> None:
    job = claimed(web.submit("lab.burn", units=1).pk)
    cookie = {"Cookie": f"sessionid={session}"}
    for origin in (None, "https://evil.example", "null", f"{web.address}.evil.example", "http://["):
        status, problem = refused(web, additional_headers=cookie, origin=origin)
        assert (status, problem["title"]) == (403, "Forbidden"), origin
    assert refused(web, additional_headers={"Cookie": "sessionid=x"}, origin=web.address)[0] == 401
    with opened(web, additional_headers=cookie, origin=web.address) as client:
        subscribe(client, job)
        assert until(client, "progress")["id"] == str(job.pk), "the same owner"


def test_a_socket_closes_soon_after_its_login_ends(web: Lab, token: str, session: str) -> None:
    from django.contrib.sessions.models import Session

    from offload.access.models import ApiToken

    cookie = {"Cookie": f"sessionid={session}"}
    other = ApiToken.make("lab")[1]
    with (
        opened(web, token) as by_token,
        opened(web, additional_headers=cookie, origin=web.address) as by_session,
        opened(web, other) as goes_on,
    ):
        ApiToken.objects.order_by("pk").first().delete()  # type: ignore[union-attr]
        Session.objects.all().delete()
        for client in (by_token, by_session):
            code, reason = closed(client)
            assert code == 4401
            assert "Log in again" in reason
        say(goes_on, "unsubscribe", jobs=[str(uuid4())])
        assert hear(goes_on)["type"] == "unsubscribed"


# --- bounds ---


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


# --- what a client may send ---

MALFORMED = (
    "",
    "{",
    "null",
    "[]",
    "7",
    '"subscribe"',
    "{}",
    '{"type": "nothing"}',
    '{"type": null}',
    '{"type": {"type": "cancel"}}',
    '{"type": "cancel"}',
    '{"type": "cancel", "job": "x"}',
    '{"type": "cancel", "job": 7}',
    '{"type": "cancel", "job": "\\u0000"}',
    '{"type": "cancel", "job": "\\ud800"}',
    '{"type": "cancel", "job": null, "ref": 1e999}',
    '{"type": "subscribe", "jobs": []}',
    '{"type": "subscribe", "jobs": {}}',
    '{"type": "subscribe", "jobs": ["x"]}',
    '{"type": "subscribe", "jobs": [{"id": "x"}]}',
    json.dumps({"type": "subscribe", "jobs": [{"id": str(uuid4()), "after": "x"}]}),
    '{"type": "subscribe", "jobs": [], "more": 1}',
    '{"type": "unsubscribe", "jobs": [null]}',
    '{"type": "cancel", "ref": "%s"}' % ("r" * 101),
    '{"type": "%s"}' % ("t" * 60_000),
    "[" * 60_000,
    '{"type":' * 8_000,
    '{"type": "cancel", ' + ", ".join(f'"k{n}": 1' for n in range(5_000)) + "}",
)


def test_a_malformed_message_is_a_422_and_the_socket_stays(web: Lab, token: str) -> None:
    with opened(web, token) as client:
        for text in (*MALFORMED, b"\x00\xff", b""):
            client.send(text)
            raw = client.recv(timeout=60)
            assert len(raw) < 5_000, "an answer does not repeat a large message"
            told = json.loads(raw)
            assert (told["type"], told["problem"]["status"]) == ("error", 422), text
        say(client, "subscribe", jobs=[{"id": str(uuid4()), "after": 10**30}])
        assert hear(client)["problem"]["status"] == 404


def mutated(dice: random.Random, text: str) -> str:
    """The text with some of its characters removed, doubled, or replaced."""
    found = list(text)
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(found))
        what = dice.choice(["", found[place] * 2, dice.choice('{}[]",:0\\e\u2028\U0001f600')])
        found[place] = what
    return "".join(found)


def test_two_thousand_mutated_messages_are_answered_and_change_nothing(
    web: Lab, token: str
) -> None:
    dice = random.Random(1)
    foreign = web.submit("lab.burn", owner="another", units=1)
    seeds = [
        json.dumps(
            {"type": "subscribe", "jobs": [{"id": str(foreign.pk), "after": 3}], "ref": "r"}
        ),
        json.dumps({"type": "unsubscribe", "jobs": [str(foreign.pk)]}),
        json.dumps({"type": "cancel", "job": str(foreign.pk)}),
    ]
    with opened(web, token) as client:
        for _ in range(20):
            messages = [mutated(dice, dice.choice(seeds)) for _ in range(100)]
            for text in messages:
                client.send(text)
            told = {hear(client)["type"] for _ in messages}
            assert told <= {"error", "unsubscribed"}
    foreign.refresh_from_db()
    assert foreign.status == "queued"


@pytest.mark.parametrize("message", ["x" * 70_000, ["x" * 1_000] * 70], ids=["whole", "fragments"])
def test_a_message_over_the_limit_closes_the_socket(web: Lab, token: str, message: Any) -> None:
    """The close frame may be lost, where the client still sends when the connection is closed: it
    sees 1006 then.
    """
    codes = set()
    for _ in range(5):
        with opened(web, token) as client:
            with contextlib.suppress(ConnectionClosed):
                client.send(message)
            codes.add(closed(client)[0])
    assert 1009 in codes
    assert codes <= {1006, 1009}


def raw_socket(web: Lab, token: str, receive_buffer: int = 0) -> socket.socket:
    """A connection that has become a WebSocket, for frames that no library sends."""
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", web.port))
    client.sendall(
        f"GET /ws/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return client


def frame(opcode: int, payload: bytes = b"", fin: bool = True) -> bytes:
    """A frame of a client, masked with zeros."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes([(0x80 if fin else 0) | opcode]) + size + bytes(4) + payload


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


def test_frames_that_no_client_sends_close_the_connection(web: Lab, token: str) -> None:
    dice = random.Random(2)
    for _ in range(40):
        with raw_socket(web, token) as client, contextlib.suppress(OSError):
            client.sendall(dice.randbytes(dice.randrange(1, 3_000)))
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert httpx.get(f"{web.address}/api/ping", trust_env=False).status_code == 200


def test_a_message_in_countless_empty_fragments_is_cut_off(web: Lab, token: str) -> None:
    with raw_socket(web, token) as client:
        client.sendall(frame(1, b"x", fin=False))
        assert flood(client, frame(0, fin=False) * 100, FLOOD_SECONDS)


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


# --- the server's side ---


def test_a_request_before_the_upgrade_on_its_connection_is_answered(web: Lab, token: str) -> None:
    with socket.create_connection(("127.0.0.1", web.port), 60) as client:
        client.sendall(
            b"GET /api/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            b"GET /ws/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer "
            + token.encode()
            + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n"
        )
        received = b""
        while b"101 Switching" not in received:
            part = client.recv(65536)
            assert part, received
            received += part
        assert received.index(b'{"pong": true}') < received.index(b"101 Switching")


def test_a_stop_closes_the_sockets_and_waits_for_no_slow_reader(web: Lab, token: str) -> None:
    process = web.processes["web"]
    jobs = [claimed(web.submit("lab.burn", units=1).pk) for _ in range(3)]
    with opened(web, token) as client, raw_socket(web, token, receive_buffer=4096) as slow:
        subscribe(client, *jobs)
        slow.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                slow.send(frame(1, b"{}") * 500)
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert closed(client)[0] == 1012
        assert process.wait(60) in (0, -signal.SIGTERM)
        # The grace is 20 s.
        assert time.monotonic() - started < 15
    start_web(web)
