"""The format of the log: one JSON line for each record, and readable lines under DEBUG.

Everything logs to the loggers of the standard library, and structlog renders the records.
"""

import json
import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from pydantic_core import PydanticSerializationError, to_json

from config.env import load
from offload.observe.log_context import log_fields
from offload.observe.tracing import tracing
from offload.serving.middleware import request_id

_env = load()

# Characters of a line. In a longer one, such as of an error that repeats its input of 100 MB, each
# value is cut: collectors of logs refuse such lines, or end.
MAX_LINE_LENGTH = 64_000
# Characters of a value in such a line.
MAX_VALUE_LENGTH = 16_000


def _add_context(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """A line that is logged while a request is answered has the request's id. One that is logged
    while a job is computed has the ids of the job and of its request, and the attempt. Both have
    the id of a trace that is sampled.
    """
    if found := request_id.get():
        event.setdefault("request_id", found)
    for name, value in log_fields().items():
        event.setdefault(name, value)
    if trace_id := tracing.trace_id():
        event["trace_id"] = trace_id
    return event


def _drop_colors(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """uvicorn gives some messages twice, the second with colours for a terminal."""
    event.pop("color_message", None)
    return event


def _cut_long(event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event with the beginnings and the ends of its long values."""
    cut: dict[str, Any] = {}
    for name, value in event.items():
        text = value if isinstance(value, str) else repr(value)
        cut[name] = value
        if (left_out := len(text) - MAX_VALUE_LENGTH) > 0:
            half = MAX_VALUE_LENGTH // 2
            cut[name] = f"{text[:half]} ({left_out} characters are left out) {text[-half:]}"
    return cut


_structlog_json = structlog.processors.JSONRenderer(separators=(",", ":"))


def _render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """structlog's line of JSON, which is cut where it is too long."""
    line = str(_structlog_json(logger, method, event))
    return line if len(line) <= MAX_LINE_LENGTH else _json(_cut_long(event))


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    _add_context,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    _drop_colors,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
_RENDER: list[Any] = (
    # A plain traceback: the one of `rich`, which structlog takes if it is installed, took 0.4 s on
    # the event loop.
    [
        structlog.dev.ConsoleRenderer(
            colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    ]
    if _env.debug
    else [
        structlog.processors.format_exc_info,
        _render,
    ]
)

# The attributes of a record that are no `extra`, and those that are dropped.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
_PLAIN = {str, int, float, bool, type(None)}
_encode = json.JSONEncoder(default=repr, separators=(",", ":")).encode


def _json(event: MutableMapping[str, Any]) -> str:
    """The event as a line of JSON.

    Two cases: 1. all values are plain and without lone surrogates: pydantic's encoder is twice as
    fast; 2. others: pydantic would write out what a `repr` hides, and read generators to their end.
    """
    if not _PLAIN.issuperset(map(type, event.values())):
        return _encode(event)
    try:
        return to_json(event, ensure_ascii=True).decode()
    except PydanticSerializationError:
        return _encode(event)


@lru_cache(maxsize=1)
def _iso(second: float) -> str:
    """A full second in ISO 8601.

    Many lines share a second. Writing it anew for each took a fifth of the time of a line.
    """
    return datetime.fromtimestamp(second, UTC).replace(tzinfo=None).isoformat()


class Lines(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, and a shorter way to the same line for plain records.

    Every request writes a plain record. A line takes 7 us instead of 15: the record is not copied
    twice, passes no chain of processors, and is formatted once.
    """

    def format(self, record: logging.LogRecord) -> str:
        # A message that is a dict came from a logger of structlog.
        if _env.debug or record.exc_info or record.stack_info or isinstance(record.msg, dict):
            return super().format(record)
        second, fraction = divmod(record.created, 1)
        event: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
            "timestamp": f"{_iso(second)}.{int(fraction * 1e6):06}Z",
        }
        event = structlog.contextvars.merge_contextvars(None, "", event)
        event = _add_context(None, "", event)
        line = _json(event)
        return line if len(line) <= MAX_LINE_LENGTH else _json(_cut_long(event))


class ErrorsAlone(logging.Filter):
    """Keeps the records with a traceback. The access log has the status of the others already."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structlog": {
            "()": Lines,
            "foreign_pre_chain": _SHARED,
            "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_RENDER],
        }
    },
    "filters": {"errors_alone": {"()": "config.logs.ErrorsAlone"}},
    # Never waits for the reader of the log. `logging.StreamHandler` would stop the event loop when
    # the reader stops.
    "handlers": {"stderr": {"class": "offload.logs.NonBlockingHandler", "formatter": "structlog"}},
    "root": {"handlers": ["stderr"], "level": _env.log_level.upper()},
    "loggers": {
        # httpx logs a line for every upstream call, which the metrics show better.
        "httpx": {"level": "WARNING"},
        # With Django's own handlers everything would be printed twice.
        "django": {"handlers": [], "level": "INFO"},
        "django.request": {"filters": ["errors_alone"]},
        # Flower warns four times at every start, before it has found a worker.
        "flower.inspector": {"level": "ERROR"},
        # Celery logs that a task was received; every job logs a line of its own.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        # It warns at each try. `offload.traces` logs one line when the collector goes away.
        "opentelemetry.exporter": {"level": "CRITICAL"},
        # It logs a header that it cannot read, such as a key. The collector refuses the spans then.
        "opentelemetry.util.re": {"level": "CRITICAL"},
    },
}

structlog.configure(
    processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
