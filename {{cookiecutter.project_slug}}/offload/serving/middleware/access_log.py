"""Writes one line of the log for each request."""

import logging
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest

from offload.conf import conf
from offload.problems import Problem
from offload.serving.fast.sampled_records import SampledRecords
from offload.serving.middleware.base import GetResponse
from offload.serving.middleware.recording import RecordingMiddleware
from offload.serving.middleware.request_ids import request_id
from offload.serving.paths import PathPrefixes

logger = logging.getLogger("offload.access")

# Method, path, status.
MESSAGE = "%s %s %d"


class AccessLog(RecordingMiddleware):
    """Logs each request to `offload.access`, with its facts in `extra`; `ms` is in milliseconds.

    The query string is left out: it may hold secrets. Probes come every few seconds, and are
    logged at DEBUG.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self.probes = PathPrefixes(conf().probe_prefixes)
        self.sampled_record = SampledRecords(logger.name, MESSAGE) if conf().fast else None

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Write the line."""
        is_probe = self.probes.match(request.path_info)
        level = logging.DEBUG if is_probe else logging.INFO
        if not logger.isEnabledFor(level):
            return

        path = _printable(request.path)
        facts = {
            "method": request.method,
            "path": path,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id.get(),
            # Behind the proxies that the service trusts.
            "client": request.META.get("REMOTE_ADDR"),
        }
        # Set by ninja: the owner of the token.
        if owner := getattr(request, "auth", None):
            facts["owner"] = str(owner)
        logger.handle(self._make_record(level, (request.method, path, status), facts))

    def _make_record(
        self, level: int, arguments: tuple[Any, ...], facts: dict[str, Any]
    ) -> logging.LogRecord:
        """A record of the standard library, or a copy of a sample.

        Where somebody adds to every record, as tracing does, a copy would lack the addition.
        """
        if self.sampled_record is None or logging.getLogRecordFactory() is not logging.LogRecord:
            return logger.makeRecord(
                logger.name, level, __file__, 0, MESSAGE, arguments, None, extra=facts
            )
        return self.sampled_record(level, arguments, facts)


def log_refusal(
    method: str, path: str, problem: Problem, id_: str, seconds: float, client: str | None
) -> None:
    """Log a request that was answered before it came to Django. `id_` is the request's."""
    path = _printable(path)
    facts: dict[str, Any] = {
        "method": method,
        "path": path,
        "status": problem.status,
        "ms": round(seconds * 1000, 2),
        "request_id": id_,
        "detail": problem.detail,
    }
    if client:
        facts["client"] = client
    logger.info(MESSAGE, method, path, problem.status, extra=facts)


def _printable(path: str) -> str:
    """The path without line ends, which could forge a line of the log."""
    return path if path.isprintable() else quote(path)
