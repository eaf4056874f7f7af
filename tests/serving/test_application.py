"""The application without the server process: under a test's client, and started twice."""

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from conftest import HERE, TIMEOUT_SECONDS, environment, lean
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.views.decorators.clickjacking import xframe_options_exempt

from offload.conf import Offload
from offload.problems import Problem
from offload.serving.application import Application
from offload.serving.disconnect import cancel_on_disconnect
from offload.serving.handler import admit_stream
from offload.serving.head_checks import check_host
from offload.serving.lifespan import YOUNG_OBJECTS
from offload.serving.middleware import SecurityHeaders
from offload.serving.middleware.recording import RecordingMiddleware
from offload.serving.request_state import REQUEST_STATE, RequestState
from offload.serving.stream_shutdown import DISCONNECT
from offload.serving.types import Message

STOPS_ITSELF = """
import asyncio, os, signal
from serving_project.asgi import application
async def main():
    told = iter(["lifespan.startup"])
    async def receive():
        for kind in told:
            return {"type": kind}
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)
    async def send(message):
        print(message["type"], flush=True)
    await application({"type": "lifespan"}, receive, send)
asyncio.run(main())
"""


@pytest.fixture(scope="session")
def application() -> Application:
    """One application, started as often as a test likes."""
    return Application()


@asynccontextmanager
async def started(application: Application) -> AsyncIterator[httpx.AsyncClient]:
    """Its client, between its start and its end."""
    lifespan = ApplicationCommunicator(application, {"type": "lifespan"})
    await lifespan.send_input({"type": "lifespan.startup"})
    assert (await lifespan.receive_output(TIMEOUT_SECONDS))["type"] == "lifespan.startup.complete"
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await lifespan.send_input({"type": "lifespan.shutdown"})
    assert (await lifespan.receive_output(TIMEOUT_SECONDS))["type"] == "lifespan.shutdown.complete"
    await lifespan.wait(TIMEOUT_SECONDS)


@pytest.mark.parametrize(
    ("before", "then"), [(700, YOUNG_OBJECTS), (2 * YOUNG_OBJECTS, 2 * YOUNG_OBJECTS), (0, 0)]
)
async def test_the_garbage_collector_comes_no_more_often_than_the_service_wants(
    application: Application, before: int, then: int
) -> None:
    usual = gc.get_threshold()
    gc.set_threshold(before, *usual[1:])
    try:
        async with started(application):
            assert gc.get_threshold() == (then, *usual[1:])
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


# On the stock handler the threads are asgiref's own.
@lean
async def test_an_application_starts_again_and_serves_many_requests_of_one_task(
    application: Application,
) -> None:
    threads = set()
    for _ in range(2):
        async with started(application) as client:
            for _ in range(3):
                answer = await client.get("/api/in_thread")
                threads.add(answer.json()["thread"])
            assert await sync_to_async(threading.get_ident)() not in threads, (
                "the test's own context is whole"
            )
            assert not application.streams.stopping


async def test_a_websocket_is_refused_where_none_is_served(application: Application) -> None:
    websocket = ApplicationCommunicator(
        application, {"type": "websocket", "path": "/ws", "headers": []}
    )
    await websocket.send_input({"type": "websocket.connect"})
    assert (await websocket.receive_output(TIMEOUT_SECONDS))["type"] == "websocket.close"


async def test_another_application_may_serve_websockets() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "subprotocol": scope["path"]})

    application = Application(websocket=echo)
    websocket = ApplicationCommunicator(application, websocket_to(b"localhost"))
    assert (await websocket.receive_output(TIMEOUT_SECONDS))["subprotocol"] == "/ws"

    for hosts in ((b"evil.example",), (b"evil.example", b"localhost"), ()):
        websocket = ApplicationCommunicator(application, websocket_to(*hosts))
        answer = await websocket.receive_output(TIMEOUT_SECONDS)
        assert answer["type"] == "websocket.close"


def websocket_to(*hosts: bytes) -> dict[str, Any]:
    """The scope of a WebSocket with these `Host` headers."""
    headers = [(b"host", host) for host in hosts]
    return {"type": "websocket", "http_version": "1.1", "path": "/ws", "headers": headers}


async def test_a_websocket_too_many_is_a_503_and_each_is_counted_until_it_ends() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    application = Application(websocket=echo)
    application.in_flight.max_streams = 1
    first, second = (
        ApplicationCommunicator(application, websocket_to(b"localhost")) for _ in range(2)
    )
    await first.send_input({"type": "websocket.connect"})
    assert (await first.receive_output(TIMEOUT_SECONDS))["type"] == "websocket.accept"
    answer = await second.receive_output(TIMEOUT_SECONDS)
    assert (answer["type"], answer["status"]) == ("websocket.http.response.start", 503)
    assert (b"retry-after", b"1") in answer["headers"]

    assert len(application.in_flight.streams) == 1
    await first.send_input({"type": "websocket.disconnect"})
    await first.wait(TIMEOUT_SECONDS)
    assert not application.in_flight.streams


def test_a_refused_stream_closes_what_it_holds() -> None:
    closed = []

    def refuse(_: RequestState) -> None:
        raise Problem(503, "as the test wants")

    stream = StreamingHttpResponse(content_type="text/event-stream")
    stream._resource_closers.append(lambda: closed.append(True))
    request = AsyncRequestFactory().get("/api/stream")
    state = RequestState("", "/api/stream", {}, is_probe=False, has_body=False)
    state.on_event_stream.append(refuse)
    request.scope[REQUEST_STATE] = state
    response = admit_stream(request, stream)
    assert response.status_code == 503
    response.close()
    assert closed == [True]


async def test_a_client_that_leaves_as_its_answer_ends_cancels_nothing() -> None:
    async def receive() -> Message:
        # `StreamShutdown` hides a cancellation from its handler, too.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(TIMEOUT_SECONDS)
        return DISCONNECT

    await cancel_on_disconnect(asyncio.sleep(0.01), receive)
    await asyncio.sleep(0.01)
    task = asyncio.current_task()
    assert task
    assert not task.cancelling()


def test_a_view_that_may_be_framed_keeps_a_header_of_its_own() -> None:
    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"X-Frame-Options": "SAMEORIGIN"})

    response = SecurityHeaders(xframe_options_exempt(view))(RequestFactory().get("/"))
    assert response.headers["X-Frame-Options"] == "SAMEORIGIN"


def test_what_a_login_was_answered_is_kept_by_no_cache_unless_the_view_says_so() -> None:
    """A cache that knows neither Cookie nor Authorization gave it to the next who asked."""

    def view(request: HttpRequest) -> HttpResponse:
        if "login" in request.GET:
            request.auth = "the owner"  # type: ignore[attr-defined]
        return HttpResponse(headers={"Cache-Control": "private"} if "own" in request.GET else {})

    served = SecurityHeaders(view)
    for query, expected in (("", None), ("?login", "no-store"), ("?login&own", "private")):
        response = served(RequestFactory().get(f"/{query}"))
        assert response.headers.get("Cache-Control") == expected


async def test_a_record_that_raises_loses_none_of_its_rounds_others() -> None:
    told = []

    class Records(RecordingMiddleware):
        def record(self, request: HttpRequest, status: int, seconds: float) -> None:
            if request.path == "/bad":
                raise ValueError("as the test wants")
            told.append(request.path)

    async def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    records = Records(view)
    await asyncio.gather(*(records(AsyncRequestFactory().get(path)) for path in ("/bad", "/good")))
    await asyncio.sleep(0)
    assert told == ["/good"]


def test_the_host_is_the_proxys_word_where_the_proxy_is_trusted() -> None:
    headers = {b"host": b"10.0.0.7", b"x-forwarded-host": b"localhost"}
    with pytest.raises(Problem, match=r"10\.0\.0\.7"):
        check_host(headers)
    with override_settings(USE_X_FORWARDED_HOST=True):
        check_host(headers)


def test_sigterm_ends_a_process_whose_server_does_not_listen_for_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STOPS_ITSELF]
    ended = subprocess.run(
        command, env=environment(tmp_path), cwd=HERE, capture_output=True, timeout=TIMEOUT_SECONDS
    )
    assert ended.returncode == -signal.SIGTERM, ended.stderr.decode()


@pytest.mark.parametrize(("status", "title"), [(404, "Not Found"), (499, "Unknown Status Code")])
def test_a_problem_may_have_any_status(status: int, title: str) -> None:
    assert f'"title": "{title}"'.encode() in Problem(status, "as the test wants").body()


@pytest.mark.parametrize("path", ["/v1", "v1/", ""])
def test_an_api_path_without_its_slashes_is_refused(path: str) -> None:
    """With "/v1" the address of a job would be /v1jobs/1."""
    with pytest.raises(ImproperlyConfigured, match="begin and end with a slash"):
        Offload(api_path=path)
