"""The layers around Django, one by one: what each costs, refuses and passes on."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TIMEOUT_SECONDS, environment

from offload.problems import Problem
from offload.serving.application import in_layers
from offload.serving.disconnect import ClientDisconnect
from offload.serving.load_shedding import InFlight, LoadShedding
from offload.serving.paths import PathPrefixes
from offload.serving.refusals import Refusals
from offload.serving.request_body import LARGE_BYTES, BodyLimit, LargeBodies
from offload.serving.request_state import REQUEST_STATE, RequestState, new_request_state
from offload.serving.stream_shutdown import OpenStreams, StreamShutdown
from offload.serving.sweeps import Sweeps
from offload.serving.types import ASGIApp, Message, Receive, Scope, Send

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
Layer = Callable[[ASGIApp], ASGIApp]


def limited(app: ASGIApp) -> ASGIApp:
    """A body of ten bytes at most."""
    return BodyLimit(app, max_bytes={}, default_max_bytes=10, form_max_bytes=10)


def shedding(app: ASGIApp) -> ASGIApp:
    """One request and one stream at most."""
    return LoadShedding(app, in_flight=InFlight(1, 1))


def scope_of(*headers: tuple[bytes, bytes], version: str = "1.1", path: str = "/api/ping") -> Scope:
    """A request with its state."""
    scope = {
        "type": "http",
        "http_version": version,
        "method": "GET",
        "path": path,
        "headers": list(headers),
    }
    scope[REQUEST_STATE] = new_request_state(scope, PathPrefixes(["/health/"]))
    return scope


async def nothing_to_receive() -> Message:
    """A server's `receive` for a client that stays."""
    await asyncio.sleep(TIMEOUT_SECONDS)
    raise AssertionError


async def answer(
    layers: list[Layer], app: ASGIApp, scope: Scope, receive: Receive
) -> list[Message]:
    """What is sent to the client."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await in_layers(*layers, around=app)(scope, receive, send)
    return sent


@pytest.mark.parametrize("layer", [limited, shedding])
async def test_a_request_without_a_body_is_given_the_servers_own_receive(layer: Layer) -> None:
    given: list[Receive] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        given.append(receive)

    await answer([layer], app, scope_of(), nothing_to_receive)
    assert given == [nothing_to_receive]


@pytest.mark.parametrize(
    "scope",
    [scope_of((b"transfer-encoding", b"chunked")), scope_of(version="2")],
    ids=["chunked", "HTTP/2"],
)
async def test_a_body_without_a_length_is_limited(scope: Scope) -> None:
    async def piece() -> Message:
        return {"type": "http.request", "body": b"123456", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    sent = await answer([Refusals, limited], app, scope, piece)
    assert sent[0]["status"] == 413


async def test_of_several_limits_the_one_with_the_longest_beginning_holds() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)

    def limits(app: ASGIApp) -> ASGIApp:
        paths = {"/api/": 10, "/api/ping": 20}
        return BodyLimit(app, max_bytes=paths, default_max_bytes=1, form_max_bytes=20)

    for length, status in ((b"20", 200), (b"21", 413)):
        scope = scope_of((b"content-length", length))
        sent = await answer([Refusals, limits], app, scope, nothing_to_receive)
        assert sent[0]["status"] == status


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/ping", 200), ("/api/ping/file", 200), ("/api/pingX", 413), ("/api/ping-all", 413)],
)
async def test_a_limit_ends_where_a_part_of_the_path_ends(path: str, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)

    def limits(app: ASGIApp) -> ASGIApp:
        paths = {"/api/": 10, "/api/ping": 20}
        return BodyLimit(app, max_bytes=paths, default_max_bytes=1, form_max_bytes=20)

    scope = scope_of((b"content-length", b"20"), path=path)
    sent = await answer([Refusals, limits], app, scope, nothing_to_receive)
    assert sent[0]["status"] == status


async def test_large_bodies_are_handled_one_in_an_iteration_of_the_loop() -> None:
    iteration = 0
    handled: list[int] = []

    async def count_iterations() -> None:
        nonlocal iteration
        while True:
            await asyncio.sleep(0)
            iteration += 1

    async def large() -> Message:
        return {"type": "http.request", "body": bytes(LARGE_BYTES + 1), "more_body": False}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        handled.append(iteration)

    counting = asyncio.create_task(count_iterations())
    layer = LargeBodies(app)
    scope = scope_of((b"content-length", b"70000"))
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as requests:
        for _ in range(10):
            requests.create_task(answer([], layer, scope, large))
    counting.cancel()
    assert len(set(handled)) == 10


async def test_a_check_that_fails_does_not_end_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sweeps, checked = Sweeps(), asyncio.Event()

    def fails(now: float) -> None:
        raise ValueError("as the test wants")

    sweeps.add(fails)
    sweeps.add(lambda now: checked.set())
    sweeping = asyncio.create_task(sweeps.run())
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await checked.wait()
    await sweeps.stop(sweeping)
    assert "could not be checked" in caplog.text


async def test_a_request_whose_response_has_started_is_not_ended_early() -> None:
    scope = scope_of()
    state: RequestState = scope[REQUEST_STATE]
    state.task = asyncio.current_task()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        state.end_early(Problem(503, "as the test wants"))
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"whole"})

    sent = await answer([ClientDisconnect, Refusals], app, scope, nothing_to_receive)
    assert [message.get("body") for message in sent] == [None, b"whole"]


async def test_a_problem_after_the_start_of_the_response_is_left_to_the_server() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        raise Problem(400, "as the test wants")

    with pytest.raises(Problem, match="as the test wants"):
        await answer([ClientDisconnect, Refusals], app, scope_of(), nothing_to_receive)


async def test_a_request_ends_its_count_however_it_ends() -> None:
    in_flight = InFlight(1, 1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[REQUEST_STATE].declare_event_stream()
        assert (len(in_flight.requests), len(in_flight.streams)) == (0, 1)
        raise ValueError("as the test wants")

    for _ in range(2):
        with pytest.raises(ValueError, match="as the test wants"):
            await answer(
                [lambda app: LoadShedding(app, in_flight=in_flight)],
                app,
                scope_of(),
                nothing_to_receive,
            )
    assert not in_flight.streams


def endless_stream(before_start: Callable[[], Awaitable[object]]) -> ASGIApp:
    """A handler that reads its request, and streams until the client has left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        state: RequestState = scope[REQUEST_STATE]
        await receive()
        state.declare_event_stream()
        left = asyncio.create_task(until_the_client_leaves(receive))
        await before_start()
        await send(START)
        await left

    return app


async def until_the_client_leaves(receive: Receive) -> None:
    """What a handler does while a response is sent."""
    while (await receive())["type"] != "http.disconnect":
        pass


def one_request() -> Receive:
    """A `receive` that gives a request, and then waits."""
    waiting: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else await nothing_to_receive()

    return receive


async def test_a_stream_that_a_stop_meets_before_its_start_starts_and_ends() -> None:
    streams = OpenStreams()

    async def stop() -> None:
        await asyncio.sleep(0)
        streams.stop()
        await asyncio.sleep(0.05)

    layers: list[Layer] = [ClientDisconnect, lambda app: StreamShutdown(app, streams=streams)]
    async with asyncio.timeout(TIMEOUT_SECONDS):
        sent = await answer(layers, endless_stream(stop), scope_of(), one_request())
    assert sent == [START, {"type": "http.response.body", "body": b""}]


async def test_a_stop_is_no_client_that_left() -> None:
    streams, scope = OpenStreams(), scope_of()
    state: RequestState = scope[REQUEST_STATE]
    layers: list[Layer] = [ClientDisconnect, lambda app: StreamShutdown(app, streams=streams)]
    asyncio.get_running_loop().call_later(0.05, streams.stop)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await answer(layers, endless_stream(lambda: asyncio.sleep(0)), scope, one_request())
    assert state.response_complete
    assert not state.client_disconnected


@pytest.mark.parametrize("before", [True, False])
async def test_a_view_that_waits_is_counted_as_a_stream_and_woken_by_a_stop(before: bool) -> None:
    streams, in_flight, woken = OpenStreams(), InFlight(1, 1), asyncio.Event()
    counted: list[tuple[int, int]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope[REQUEST_STATE].declare_wait(woken.set)
        counted.append((len(in_flight.requests), len(in_flight.streams)))
        await woken.wait()
        await send(START)
        await send({"type": "http.response.body", "body": b"the job as it is"})

    layers: list[Layer] = [
        ClientDisconnect,
        lambda app: LoadShedding(app, in_flight=in_flight),
        lambda app: StreamShutdown(app, streams=streams),
    ]
    if before:
        streams.stop()
    else:
        asyncio.get_running_loop().call_later(0.05, streams.stop)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        sent = await answer(layers, app, scope_of(), one_request())
    assert sent == [START, {"type": "http.response.body", "body": b"the job as it is"}]
    assert counted == [(0, 1)]
    assert in_flight.streams == set()


async def test_a_server_that_cancels_during_a_stop_is_obeyed() -> None:
    streams = OpenStreams()
    layers: list[Layer] = [ClientDisconnect, lambda app: StreamShutdown(app, streams=streams)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope[REQUEST_STATE].declare_event_stream()
        await send(START)
        await receive()

    request = asyncio.create_task(answer(layers, app, scope_of(), one_request()))
    await asyncio.sleep(0.05)
    streams.stop()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


def test_the_callers_package_loads_no_model(tmp_path: Path) -> None:
    code = (
        "import sys; from offload.access import BearerToken, caller; "
        "sys.exit('offload.access.models' in sys.modules)"
    )
    command: list[Any] = [sys.executable, "-c", code]
    subprocess.run(command, check=True, env=environment(tmp_path), timeout=TIMEOUT_SECONDS)
