"""Calls each function of `hidden_faults.py`. `test_hidden_faults.py` runs these tests."""

import inspect
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import hidden_faults
import pytest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from waiting import wait_until


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session", autouse=True)
def address() -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hidden_faults.Address.port = server.server_port
        hidden_faults.Address.url = f"http://127.0.0.1:{server.server_port}/"
        yield
        server.shutdown()


def of_kind(is_async: bool) -> list[str]:
    functions = vars(hidden_faults)
    return [
        name
        for name in hidden_faults.CASES
        if inspect.iscoroutinefunction(functions[name]) == is_async
    ]


@pytest.mark.parametrize("name", of_kind(is_async=True))
async def test_case(name: str) -> None:
    await getattr(hidden_faults, name)()


@pytest.mark.parametrize("name", of_kind(is_async=False))
@pytest.mark.django_db
def test_sync_case(name: str) -> None:
    getattr(hidden_faults, name)()


async def test_file_of_the_test(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("prepared")
    assert (tmp_path / "file").read_text() == "prepared"


def test_wait_of_the_test() -> None:
    hidden_faults.urllib.request.urlopen(hidden_faults.Address.url).close()


@pytest.fixture(scope="module")
def connection() -> Iterator[socket.socket]:
    """An open connection, for which the server of these tests starts a thread."""
    address = ("127.0.0.1", hidden_faults.Address.port)
    with socket.create_connection(address, timeout=10) as opened:
        yield opened


def test_thread_of_a_server_of_the_tests(request: pytest.FixtureRequest) -> None:
    before = set(threading.enumerate())
    request.getfixturevalue("connection")
    wait_until(lambda: set(threading.enumerate()) - before, "a thread of the server", 10)


async def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.marked)  # type: ignore[attr-defined]


def marking(get_response: Any) -> Any:
    async def middleware(request: Any) -> Any:
        request.marked = "marked"
        return await get_response(request)

    return middleware


marking.async_capable = True  # type: ignore[attr-defined]
marking.sync_capable = False  # type: ignore[attr-defined]
urlpatterns: list[Any] = []


async def test_middleware_of_the_test(async_client: AsyncClient, settings: Any) -> None:
    from django.urls import path

    urlpatterns[:] = [path("", view)]
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = [f"{__name__}.marking"]
    assert (await async_client.get("/")).content == b"marked"
