"""A process that stands still, as when its machine is moved, counts that time against no client."""

import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import Server, running
from raw_http import connect, everything, request

LIMIT_SECONDS = 1.5
PAUSE_SECONDS = 2 * LIMIT_SECONDS


@pytest.fixture(scope="module")
def hasty(directory: Any) -> Any:
    """A server whose time limits are shorter than its pauses."""
    settings = {
        "head_timeout": LIMIT_SECONDS,
        "body_timeout": LIMIT_SECONDS,
        "body_min_rate": 100_000,
        "request_timeout": LIMIT_SECONDS,
        "keep_alive_timeout": LIMIT_SECONDS,
    }
    with running(directory, (), True, {"SERVING_TEST_OFFLOAD": json.dumps(settings)}) as server:
        yield server


@contextmanager
def pause(server: Server) -> Iterator[None]:
    """The process does nothing for so long."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
        time.sleep(PAUSE_SECONDS)
    finally:
        server.process.send_signal(signal.SIGCONT)


def statuses(answer: bytes) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3})", answer)


@pytest.mark.parametrize("sent", [b"", b"GET /api/ping HT"])
def test_a_head_that_came_during_a_pause_is_answered(hasty: Server, sent: bytes) -> None:
    whole = request("GET", "/api/ping", "Connection: close")
    with connect(hasty) as client:
        client.sendall(whole[: len(sent)])
        time.sleep(0.2)
        with pause(hasty):
            client.sendall(whole[len(sent) :])
        assert statuses(everything(client)) == [b"200"]


def test_a_further_request_that_came_during_a_pause_is_answered(hasty: Server) -> None:
    """Its client has no right to send it again if it is a POST."""
    with connect(hasty) as client:
        client.sendall(request("POST", "/api/echo", "Content-Length: 1", body=b"-"))
        time.sleep(0.2)
        with pause(hasty):
            client.sendall(
                request("POST", "/api/echo", "Content-Length: 1", "Connection: close", body=b"-")
            )
        assert statuses(everything(client)) == [b"200", b"200"]


@pytest.mark.parametrize("path", ["/api/echo", "/ping"])
def test_a_body_that_came_during_a_pause_is_taken(hasty: Server, path: str) -> None:
    with connect(hasty) as client:
        client.sendall(request("POST", path, "Content-Length: 10", "Connection: close") + b"half ")
        time.sleep(0.2)
        with pause(hasty):
            client.sendall(b"of it")
        assert statuses(everything(client)) in ([b"200"], [b"403"])


def test_a_view_that_was_nearly_done_before_a_pause_answers(hasty: Server) -> None:
    with connect(hasty) as client:
        client.sendall(request("GET", "/api/wait?seconds=0.5", "Connection: close"))
        time.sleep(0.2)
        with pause(hasty):
            pass
        assert statuses(everything(client)) == [b"200"]


def test_who_goes_on_keeping_the_connection_waiting_is_cut_off(hasty: Server) -> None:
    with connect(hasty) as silent, connect(hasty) as half:
        half.sendall(request("POST", "/api/echo", "Content-Length: 10") + b"half ")
        time.sleep(0.2)
        with pause(hasty):
            pass
        assert everything(silent) == b""
        assert statuses(everything(half)) == [b"408"]
