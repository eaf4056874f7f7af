"""The live page of a service with WebSockets, in a real browser: jobs over the socket, and without.

`test_live_page.py` has what the page shows in both services.
"""

import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute

from .conftest import bake
from .fed_page import FED, card, job, tell
from .running_demo import Demo, processes
from .test_live_page import PATIENCE_MS, browser, cancel_all, until

__all__ = ["browser"]

pytestmark = pytest.mark.timeout(900)

if not find_spec("channels"):
    if os.environ.get("REQUIRE_CHANNELS"):
        pytest.fail("REQUIRE_CHANNELS is set and Django Channels is not installed")
    pytest.skip("NO CHANNELS: nobody looked at the page with a socket", allow_module_level=True)


@pytest.fixture(scope="module")
def demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("live-socket")
    made = bake(folder, websockets="yes")
    assert made.returncode == 0, made.stdout
    # The workers give way to nobody: beside other tests a job would wait for minutes.
    running = Demo(folder, WORKER_NICE="0")
    with running.client:
        yield running
    running.interrupt()
    running.process.wait(60)


class Opened:
    """The page, with what it has said and heard over its sockets, and what it has asked."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.said: list[Any] = []
        self.heard: list[Any] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("websocket", self._follow)
        page.on("request", lambda each: self.asked.append(f"{each.method} {each.url}"))
        page.goto(address)
        page.wait_for_selector("#connection.live")

    def _follow(self, opened: Any) -> None:
        opened.on("framesent", lambda frame: self.said.append(json.loads(frame)))
        opened.on("framereceived", lambda frame: self.heard.append(json.loads(frame)))

    def compute(self, simulations: int) -> str:
        """Submit a job, and wait until the socket watches it; returns its id."""
        before = len(self.told("subscribed"))
        self.page.get_by_label("Simulations").fill(str(simulations))
        self.page.get_by_role("button", name="Compute the risk").click()
        self.wait_for("subscribed", before + 1)
        return str(self.told("subscribed")[-1]["id"])

    def told(self, type_: str) -> list[Any]:
        """What the socket has heard of this type."""
        return [each for each in self.heard if each["type"] == type_]

    def wait_for(self, type_: str, count: int = 1) -> None:
        """Wait until the socket has heard it. Playwright hears while the page is asked."""
        deadline = PATIENCE_MS // 100
        while len(self.told(type_)) < count:
            deadline -= 1
            assert deadline, (type_, self.heard[-5:], self.page.inner_text("body"))
            self.page.wait_for_timeout(100)


@pytest.fixture
def opened(demo: Demo, browser: Browser) -> Iterator[Opened]:
    with browser.new_context() as context:
        page = Opened(context.new_page(), demo.address)
        page.page.wait_for_selector("#socket.live")
        yield page
    cancel_all(demo)


def test_each_change_of_a_job_comes_over_the_socket(opened: Opened) -> None:
    page = opened.page
    job = opened.compute(200_000)
    opened.wait_for("succeeded")
    assert {each["id"] for each in opened.told("progress")} == {job}
    versions = [each["version"] for each in opened.heard if each["version"] and not each["ref"]]
    assert versions == sorted(set(versions))
    page.wait_for_selector("#jobs li.succeeded")
    page.wait_for_selector("#result:not([hidden]) rect", state="attached")


def test_a_job_is_shown_by_the_socket_while_the_event_stream_stands_still(
    demo: Demo, opened: Opened
) -> None:
    """A server that is slow to read its tables: no state comes, and no loss is noticed."""
    page = opened.page
    page.route("**/api/portfolio/live", lambda route: None)
    page.get_by_label("Token").dispatch_event("change")
    page.wait_for_selector("#socket.live")
    opened.compute(100_000)
    page.wait_for_selector("#jobs li.succeeded")


def test_a_job_is_cancelled_over_the_socket(opened: Opened) -> None:
    job = opened.compute(50_000_000)
    opened.page.get_by_role("button", name=f"Cancel portfolio.risk {job[:8]}").click()
    opened.wait_for("accepted")
    opened.page.wait_for_selector("#jobs li.cancelled")
    assert [each["job"] for each in opened.said if each["type"] == "cancel"] == [job]
    assert not [each for each in opened.asked if each.startswith("DELETE")]


def test_a_killed_worker_and_a_restarted_server_lose_no_event(demo: Demo, opened: Opened) -> None:
    page = opened.page
    job = opened.compute(50_000_000)
    opened.wait_for("progress", 2)
    for pid, command in processes().items():
        if "offload.jobs" in command and "-Q cpu" in command and "reloader" not in command:
            os.kill(pid, signal.SIGKILL)
    seen = max(each["version"] for each in opened.told("progress"))
    for pid, command in processes().items():
        if "offload.serving" in command and "reloader" not in command:
            os.kill(pid, signal.SIGKILL)
    page.wait_for_selector("#socket.lost")
    assert re.search(r"closed \(1006\): .* The next try is in \d+ s", page.inner_text("#socket"))
    page.wait_for_selector("#socket.live")
    opened.wait_for("subscribed", 2)
    (again,) = [each for each in opened.said if each["type"] == "subscribe"][1:]
    assert again["jobs"][0]["id"] == job
    assert again["jobs"][0]["after"] >= seen, "what was seen is not sent again"
    page.get_by_role("button", name=f"Cancel portfolio.risk {job[:8]}").click()
    opened.wait_for("cancelled")
    page.wait_for_selector("#jobs li.cancelled")


def test_why_a_socket_was_closed_is_shown(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.route_web_socket(
            "**/ws/jobs", lambda route: route.close(code=4408, reason="You read too slowly.")
        )
        page.goto(demo.address)
        page.wait_for_selector("#socket.lost", timeout=PATIENCE_MS)
        assert "closed (4408): You read too slowly." in page.inner_text("#socket")


class WithoutUpgrade:
    """A proxy that passes requests on, but no upgrade: it answers 400, or nothing at all."""

    def __init__(self, upstream: int, answer: bytes) -> None:
        self._upstream, self._answer = upstream, answer
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._server.accept()[0]
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            head = client.recv(65536)
            if b"upgrade: websocket" in head.lower():
                client.sendall(self._answer)
                return
            server = socket.create_connection(("127.0.0.1", self._upstream))
            self._open.append(server)
            # One request on each connection.
            server.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()
            self._pass_on(server, client)
            client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def close(self) -> None:
        for each in (self._server, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b""],
    ids=["refused", "no-answer"],
)
def test_where_a_proxy_passes_no_upgrade_on_the_event_stream_tells_of_jobs(
    demo: Demo, browser: Browser, answer: bytes
) -> None:
    proxy = WithoutUpgrade(demo.port, answer)
    with ExitStack() as stack:
        stack.callback(proxy.close)
        context = stack.enter_context(browser.new_context())
        page = Opened(context.new_page(), proxy.address).page
        page.wait_for_selector("#socket.lost")
        assert "There is no WebSocket" in page.inner_text("#socket")
        page.get_by_label("Simulations").fill("50000000")
        page.get_by_role("button", name="Compute the risk").click()
        page.wait_for_selector("#jobs li.running")
        page.get_by_role("button", name="Cancel portfolio.risk").first.click()
        page.wait_for_selector("#jobs li.cancelled")
    cancel_all(demo)


def test_each_module_is_loaded_once(opened: Opened) -> None:
    scripts = [each for each in opened.asked if each.endswith(".js")]
    assert len(scripts) == len(set(scripts))
    # A name with a hash, and the same name without it, would be the same file.
    names = [re.sub(r"\.[0-9a-f]{12}\.js$", ".js", Path(each).name) for each in scripts]
    assert len(names) == len(set(names))
    assert {"page_with_socket.js", "job_socket.js", "live_page.js"} <= set(names)


class FedSocket:
    """The page with an event stream and a WebSocket that the test feeds."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.said: list[Any] = []
        self.routes: list[WebSocketRoute] = []
        context.add_init_script(FED)
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.route_web_socket("**/ws/jobs", self._open)
        self.page.goto(address)
        self.page.wait_for_selector("#socket.live")

    def _open(self, route: WebSocketRoute) -> None:
        self.routes.append(route)
        route.on_message(self._hear)

    def _hear(self, text: str | bytes) -> None:
        said = json.loads(text)
        self.said.append(said)
        # A page whose question has no answer connects again.
        if "ref" in said:
            self.tell("subscribed", ref=said["ref"])

    def tell(self, type_: str, one: dict[str, Any] | None = None, **more: Any) -> None:
        """The service says something, about a job."""
        about = {"id": one["id"], "version": one["version"], "job": one} if one else {}
        self.routes[-1].send(json.dumps({"type": type_, "ref": None} | about | more))

    def heard(self, type_: str, count: int = 1) -> Any:
        """What the page has said of this type, once it has said so many."""
        deadline = PATIENCE_MS // 100
        while len(found := [each for each in self.said if each["type"] == type_]) < count:
            deadline -= 1
            assert deadline, (type_, self.said, self.page.inner_text("body"))
            self.page.wait_for_timeout(100)
        return found[count - 1]

    def wait_for_connection(self, number: int) -> None:
        deadline = PATIENCE_MS // 100
        while len(self.routes) < number:
            deadline -= 1
            assert deadline, self.page.inner_text("body")
            self.page.wait_for_timeout(100)


@pytest.fixture
def fed(demo: Demo, browser: Browser) -> Iterator[FedSocket]:
    with browser.new_context() as context:
        yield FedSocket(context, demo.address)


def test_an_older_state_or_event_undoes_nothing(fed: FedSocket) -> None:
    page = fed.page
    tell(page, job(1))
    fed.heard("subscribe")
    fed.tell("succeeded", job(1, "succeeded", version=9))
    page.wait_for_selector(card(job(1), "succeeded"))
    tell(page, job(2, version=7), job(1, version=5))
    page.wait_for_selector(card(job(2), "running"))
    assert page.locator(card(job(1), "succeeded")).count() == 1

    fed.tell("progress", job(1, version=4))
    fed.tell("progress", job(2, "cancelled", version=6))
    fed.tell("progress", job(2, message="the newest", version=8))
    page.wait_for_selector("#jobs :text('the newest')")
    assert page.locator(card(job(1), "succeeded")).count() == 1
    assert fed.heard("subscribe", 2)["jobs"] == [{"id": job(2)["id"], "after": 7}]

    # What was seen is not sent again, whoever has told of it.
    tell(page, job(2, version=12))
    until(page, "!document.querySelector('#jobs').textContent.includes('the newest')")
    fed.routes[0].close(code=1012)
    fed.wait_for_connection(2)
    assert fed.heard("subscribe", 3)["jobs"] == [{"id": job(2)["id"], "after": 12}]


def test_a_connection_that_is_dead_and_not_closed_is_noticed(demo: Demo, browser: Browser) -> None:
    with browser.new_context() as context:
        context.clock.install()
        fed = FedSocket(context, demo.address)
        context.clock.fast_forward(20_000)
        fed.heard("ping")
        fed.tell("pong")
        tell(fed.page, job(1))
        fed.heard("subscribe")
        fed.tell("progress", job(1, message="it has arrived", version=2))
        fed.page.wait_for_selector("#jobs :text('it has arrived')")
        context.clock.fast_forward(5000)
        fed.page.wait_for_timeout(500)
        assert len(fed.routes) == 1, "it has answered"

        context.clock.fast_forward(20_000)
        fed.heard("ping", 2)
        context.clock.fast_forward(5000)
        fed.page.wait_for_selector("#socket.lost")
        assert "does not answer" in fed.page.inner_text("#socket")
        fed.wait_for_connection(2)


def test_a_job_that_is_not_watched_is_said_and_one_that_is_gone_is_not(fed: FedSocket) -> None:
    page = fed.page
    tell(page, job(3), job(2), job(1))
    ref = fed.heard("subscribe")["ref"]
    gone = {"id": job(3)["id"], "problem": {"status": 404, "detail": "There is no such job."}}
    many = {"id": job(1)["id"], "problem": {"status": 429, "detail": "You watch too many."}}
    fed.tell("error", ref=ref, **gone)
    fed.tell("subscribed", job(2), ref=ref)
    fed.tell("progress", job(2, message="watched", version=2))
    page.wait_for_selector("#jobs :text('watched')")
    assert page.inner_text("#socket").startswith("The WebSocket is open")
    fed.tell("error", ref=ref, **many)
    until(page, "document.querySelector('#socket').textContent.startsWith('You watch too many.')")
    assert page.locator("#socket.lost").count() == 1


def test_a_token_that_was_refused_is_not_sent_again(fed: FedSocket) -> None:
    page = fed.page
    tell(page)
    states = page.evaluate("window.states")
    fed.routes[0].close(code=4401, reason="The token was revoked. Log in again.")
    page.wait_for_selector("#socket.lost")
    assert "Log in again" in page.inner_text("#socket")
    page.wait_for_timeout(3500)
    # Only a state of the stream lets it connect again, once each.
    assert len(fed.routes) - 1 <= page.evaluate("window.states") - states
    tell(page)
    fed.wait_for_connection(2)


def test_another_token_opens_the_socket_again(fed: FedSocket) -> None:
    page = fed.page
    fed.routes[0].close(code=4401, reason="The token was revoked. Log in again.")
    page.wait_for_selector("#socket.lost")
    # The socket waits for the stream by now, which is refused, too.
    page.wait_for_timeout(2500)
    page.evaluate(
        "window.refused = {status: 401, detail: 'The token was revoked.'};"
        "window.stream?.error(new TypeError('lost'))"
    )
    page.wait_for_selector("#connection:has-text('Enter another token')")
    assert len(fed.routes) == 1
    page.evaluate("window.refused = null")
    page.get_by_label("Token").fill("another-token")
    page.keyboard.press("Tab")
    fed.wait_for_connection(2)
    page.wait_for_selector("#socket.live")


def test_spaces_around_a_token_are_not_sent(opened: Opened) -> None:
    page = opened.page
    with page.expect_websocket():
        page.get_by_label("Token").fill(" dev-token ")
        page.keyboard.press("Tab")
    page.wait_for_selector("#socket.live")
    assert "dev-token" not in page.inner_text("body")
    page.get_by_label("Token").fill("wrong token")
    page.keyboard.press("Tab")
    until(page, "document.querySelector('#socket').textContent.includes('waits for the event')")
    assert "wrong token" not in page.inner_text("body")
