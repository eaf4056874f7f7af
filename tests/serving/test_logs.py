"""A service's log: the shorter way to a line gives the same line as structlog's."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from conftest import Generated, once

from offload.logs import DROPPED, NonBlockingHandler
from offload.observe.log_context import log_context


@dataclass
class Key:
    """Its repr is all that may be seen of it."""

    name: str = "k"
    secret: str = field(default="s", repr=False)


ACCESS = {
    "method": "GET",
    "path": '/api/"quoted"\n',
    "status": 200,
    "ms": 0.12,
    "request_id": "r-1",
}
RECORDS = {
    "an access line": {"msg": "%s %s %d", "args": ("GET", "/api/ping", 200), **ACCESS},
    "facts of any type": {
        "msg": "kept",
        "levelno": logging.WARNING,
        "levelname": "WARNING",
        "at": Path("/x"),
        "name of a file": "\udcff",
        "n": None,
    },
    "uvicorn's, in colours": {"msg": "Started", "color_message": "\x1b[36mStarted"},
    "text of any language": {"msg": "Grüße \u2028 \x9b", "where": "/größe"},
    "what hides a secret": {"msg": "used", "key": Key()},
    "structlog's own": {"msg": {"event": "said", "user": 7}, "levelname": "INFO"},
}


@pytest.fixture
def logs(service: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The service's `config.logs`, as production loads it."""
    monkeypatch.syspath_prepend(service)
    for name, value in {
        "DEBUG": "0",
        "SECRET_KEY": "only for tests",
        "DJANGO_SETTINGS_MODULE": "unused",
    }.items():
        monkeypatch.setenv(name, value)
    import config.logs

    return config.logs


def formatters(logs: Any) -> list[logging.Formatter]:
    """The service's, and structlog's with the same processors."""
    formatter = logs.LOGGING["formatters"]["structlog"]
    more = {name: value for name, value in formatter.items() if name != "()"}
    return [formatter["()"](**more), structlog.stdlib.ProcessorFormatter(**more)]


@pytest.mark.parametrize("facts", RECORDS.values(), ids=RECORDS)
def test_a_line_is_structlogs(logs: Any, facts: dict[str, Any]) -> None:
    record = logging.makeLogRecord({"name": "offload.access", "levelname": "INFO", **facts})
    token = logs.request_id.set("r-2")
    try:
        with (
            log_context({"job_id": "j-1", "request_id": "r-3"}),
            structlog.contextvars.bound_contextvars(tenant="acme", event="never", ms="never"),
        ):
            lines = [formatter.format(record) for formatter in formatters(logs)]
    finally:
        logs.request_id.reset(token)
    assert lines[0].isascii(), "a terminal obeys some of the rest"
    ours, theirs = map(json.loads, lines)
    when = [
        datetime.fromisoformat(line.pop("timestamp"))
        for line in (ours, theirs)
        if "timestamp" in line
    ]
    assert ours == theirs
    assert ours["job_id"] == "j-1"
    # The record's own, or that of the request.
    assert ours["request_id"] == facts.get("request_id", "r-2")
    assert "color_message" not in ours
    assert not when or when[0].tzinfo == when[1].tzinfo


def test_a_line_with_a_traceback_has_it(logs: Any) -> None:
    try:
        raise ValueError("as the test wants")
    except ValueError as error:
        record = logging.makeLogRecord(
            {"msg": "failed", "exc_info": (type(error), error, error.__traceback__)}
        )
    assert (
        "ValueError: as the test wants"
        in json.loads(formatters(logs)[0].format(record))["exception"]
    )


@pytest.mark.parametrize("way", ["message", "error", "extra", "recursion"])
def test_a_line_has_a_bound_and_is_json(logs: Any, way: str) -> None:
    def even(depth: int) -> None:
        if not depth:
            raise ValueError(f"begins {long if way == 'error' else ''} ends")
        odd(depth)

    def odd(depth: int) -> None:
        even(depth - 1)

    long = "x" * 10_000_000
    facts: dict[str, Any] = {"msg": f"begins {long} ends" if way == "message" else "failed"}
    if way == "extra":
        facts["rows"] = ["begins", *range(1_000_000), "ends"]
    if way in ("error", "recursion"):
        try:
            even(400 if way == "recursion" else 0)
        except ValueError as error:
            facts["exc_info"] = (type(error), error, error.__traceback__)

    line = formatters(logs)[0].format(logging.makeLogRecord(facts))
    assert len(line) < 70_000
    value = {"message": "event", "extra": "rows"}.get(way, "exception")
    text = json.loads(line)[value]
    assert "characters are left out) " in text
    assert text.rstrip("'] ").endswith("ends")


@pytest.fixture
def handler_on() -> Iterator[Callable[..., NonBlockingHandler]]:
    """Makes a handler that writes plain lines to a file descriptor."""
    made: list[NonBlockingHandler] = []

    def make(fd: int, **more: Any) -> NonBlockingHandler:
        made.append(NonBlockingHandler(fd, **more))
        made[-1].setFormatter(logging.Formatter("%(message)s"))
        return made[-1]

    yield make
    for handler in made:
        handler.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe: reader and writer."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


Make = Callable[..., NonBlockingHandler]


def log(handler: logging.Handler, message: str) -> None:
    handler.handle(logging.makeLogRecord({"msg": message}))


def read_all(fd: int, last: bytes) -> list[str]:
    """The lines of a pipe, up to the one that begins with `last`."""
    found = b""
    while b"\n" + last not in b"\n" + found or not found.endswith(b"\n"):
        found += os.read(fd, 65536)
    return found.decode().splitlines()


def test_a_reader_that_stands_still_blocks_nobody_and_is_told_what_is_missing(
    handler_on: Make, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    handler = handler_on(writer, max_backlog=100_000)
    before = DROPPED._value.get()
    for number in range(10_000):
        log(handler, f"{number:05} {'x' * 94}")
    dropped = DROPPED._value.get() - before
    assert dropped > 7_000, "a pipe and the backlog hold some 1,600 lines"
    first = read_all(reader, f"{10_000 - int(dropped) - 1:05}".encode())
    assert [line[:5] for line in first] == [f"{n:05}" for n in range(len(first))], "in their order"
    log(handler, "the last")
    assert read_all(reader, b"the last") == [
        f"{dropped:.0f} lines of the log are missing here: its reader was too slow.",
        "the last",
    ]


def test_another_process_that_shares_the_pipe_is_not_made_non_blocking(
    handler_on: Make, pipe: tuple[int, int]
) -> None:
    _, writer = pipe
    handler_on(writer)
    assert os.get_blocking(writer)


def test_a_slow_reader_gets_every_line_in_its_order(
    handler_on: Make, pipe: tuple[int, int]
) -> None:
    reader, writer = pipe
    handler = handler_on(writer)
    for number in range(3_000):
        log(handler, f"{number:05} {'x' * 94}")
    assert [line[:5] for line in read_all(reader, b"02999")] == [f"{n:05}" for n in range(3_000)]
    assert handler.backlog_bytes == 0 or handler.flush() is None


def test_a_forked_process_writes_its_own_lines(handler_on: Make, pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    handler = handler_on(writer)
    for number in range(1_000):
        log(handler, f"{number:05} {'x' * 94}")
    child = os.fork()
    if not child:
        log(handler, "of the child")
        handler.flush()
        os._exit(bool(handler.backlog))
    lines = read_all(reader, b"of the child")
    while len(lines) < 1_001:
        lines += os.read(reader, 65536).decode().splitlines()
    assert sorted(line[:5] for line in lines) == [f"{n:05}" for n in range(1_000)] + ["of th"]
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_and_a_socket_get_their_lines(handler_on: Make, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        file.write(b"before\n")
        file.flush()
        log(handler_on(file.fileno()), "into a file")
    assert (tmp_path / "log").read_text() == "before\ninto a file\n"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log(handler_on(theirs.fileno()), "into a socket")
        assert ours.recv(100) == b"into a socket\n"


@once
def test_a_service_whose_log_nobody_reads_still_answers(generated: Generated) -> None:
    reader, writer = os.pipe()
    with generated(stderr=writer) as server, httpx.Client(base_url=server.url) as client:
        # A pipe holds some 300 lines.
        statuses = [client.get("/api/ping").status_code for _ in range(600)]
        assert statuses == [200] * 600
    os.close(reader)
