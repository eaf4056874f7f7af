"""A service's log: the shorter way to a line gives the same line as structlog's."""

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog


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
        with structlog.contextvars.bound_contextvars(tenant="acme", event="never", ms="never"):
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
