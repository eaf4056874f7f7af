"""A check of the handlers of the log: one that waits for its reader stops the event loop."""

import io
import logging
from collections.abc import Iterator
from logging import handlers
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, register
from django.utils.log import AdminEmailHandler, RequireDebugTrue

from offload.guard.checks.run_checks import TAG, warning

# They wait for another process or another machine.
WAITING_HANDLERS = (
    logging.StreamHandler,
    handlers.SocketHandler,
    handlers.SysLogHandler,
    handlers.SMTPHandler,
    handlers.HTTPHandler,
    AdminEmailHandler,
)
# What a `logging.StreamHandler` may write to without waiting.
MEMORY_STREAMS = (io.StringIO, io.BytesIO)


@register(TAG)
def check_log_handlers(**_: object) -> Iterator[CheckMessage]:
    """W715: a handler that writes to a pipe, a file or a network in the thread that logs."""
    for name, handler in _handlers():
        if not isinstance(handler, WAITING_HANDLERS) or _writes_nothing(name, handler):
            continue
        yield warning(
            "W715",
            f"The log handler {type(handler).__module__}.{type(handler).__qualname__} of the logger"
            f" {name!r} writes in the thread that logs: if its reader stops, the event loop stops.",
            "offload.logs.NonBlockingHandler, or a logging.handlers.QueueHandler with a bounded"
            " queue.",
        )


def _handlers() -> Iterator[tuple[str, logging.Handler]]:
    """Every handler once, with the name of a logger that has it."""
    seen: set[int] = set()
    loggers: list[Any] = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        # A placeholder for a logger that nobody has asked for has no handlers.
        for handler in getattr(logger, "handlers", ()):
            if id(handler) not in seen:
                seen.add(id(handler))
                yield logger.name, handler


def _writes_nothing(logger: str, handler: logging.Handler) -> bool:
    """Whether the handler writes nothing in a web process.

    Five cases: 1. it writes to memory; 2. it is for DEBUG, and DEBUG is off; 3. it mails to the
    administrators, and there are none; 4. it is for `runserver`; 5. redis-py made it, for lines at
    DEBUG. Django itself has 2, 3 and 4.
    """
    for_debug = any(isinstance(each, RequireDebugTrue) for each in handler.filters)
    return (
        isinstance(getattr(handler, "stream", None), MEMORY_STREAMS)
        or (for_debug and not settings.DEBUG)
        or (isinstance(handler, AdminEmailHandler) and not settings.ADMINS)
        or logger in ("django.server", "push_response")
    )
