"""How a WebSocket begins on a connection, and how a stop ends it."""

import contextlib
import signal
import socket
import time

from jobs.conftest import Lab
from jobs.families import claimed

from .client import closed, frame, opened, raw_socket, subscribe
from .conftest import ENVIRONMENT


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


def test_an_open_socket_is_not_reported_as_a_request_without_an_answer(
    web: Lab, token: str
) -> None:
    with opened(web, token):
        # The guard reports a request after 2 s, and looks once a second.
        time.sleep(4)
    assert "GET /ws/jobs has no answer" not in web.log("web")


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
    web.web(**ENVIRONMENT)
