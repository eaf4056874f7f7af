"""Middleware that passes once, in its own mode: no thread hop in an async chain, no event loop in a
sync one.
"""

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from http import HTTPStatus
from time import perf_counter, time
from typing import Any
from urllib.parse import quote

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from offload.conf import conf
from offload.problems import Problem
from offload.serving.exchange import exchange_of
from offload.serving.metrics import REQUESTS

GetResponse = Callable[[HttpRequest], Any]

request_id: ContextVar[str] = ContextVar("request_id", default="")

logger = logging.getLogger("offload.serving")
access = logging.getLogger("offload.access")
# Of an access line: method, path, status.
TEXT = "%s %s %d"

# nginx's number for a client that closed before its answer; never sent.
CLIENT_LEFT = 499


class Middleware:
    """`before` sees the request, `after` its answer and what `before` returned; neither may block."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            # Django asks this of the instance.
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        begun = self.before(request)
        response: HttpResponseBase = self.get_response(request)
        self.after(request, response, begun)
        return response

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        begun = self.before(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
        except asyncio.CancelledError:
            self.cancelled(request, begun)
            raise
        self.after(request, response, begun)
        return response

    def before(self, request: HttpRequest) -> Any:
        """On the way in."""

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: Any) -> None:
        """On the way out."""

    def cancelled(self, request: HttpRequest, begun: Any) -> None:
        """Instead of `after`, where the view was cancelled, mostly because its client left."""


class RequestId(Middleware):
    """Gives each request an id, the caller's own if it sent a sane one, in a context variable and
    in the answer.
    """

    # It goes into logs and headers: no spaces, no line ends.
    SANE = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)

    def before(self, request: HttpRequest) -> str:
        theirs = request.META.get("HTTP_X_REQUEST_ID", "")
        ours = theirs if self.SANE.fullmatch(theirs) else os.urandom(16).hex()
        request_id.set(ours)
        return ours

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: str) -> None:
        # Sane, so it needn't be checked again.
        response.headers._store["x-request-id"] = ("X-Request-ID", begun)


class Timed(Middleware):
    """Records each request once, a stream at its start.

    On an event loop at the end of its round, those of many requests one after another: between two
    requests, with the processor's caches full of Django, the same work takes twice as long.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self.due: list[tuple[Context, HttpRequest, int, float]] = []

    def before(self, request: HttpRequest) -> float:
        return perf_counter()

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: float) -> None:
        seconds = perf_counter() - begun
        if self.is_async:
            self.later(request, response.status_code, seconds)
        else:
            self.record(request, response.status_code, seconds)

    def cancelled(self, request: HttpRequest, begun: float) -> None:
        exchange = exchange_of(request)
        # A view may be cancelled by a stop, too, or because it awaited something that was: its
        # client is sent a 500.
        status = (
            CLIENT_LEFT if exchange is None or exchange.gone else HTTPStatus.INTERNAL_SERVER_ERROR
        )
        self.later(request, int(status), perf_counter() - begun)

    def later(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Record at the round's end, in the context of now. A `call_soon` for each costs 1.5 us
        more.
        """
        if not self.due:
            asyncio.get_running_loop().call_soon(self.round_ends)
        self.due.append((copy_context(), request, status, seconds))

    def round_ends(self) -> None:
        """Record what is due."""
        due, self.due = self.due, []
        for context, request, status, seconds in due:
            try:
                context.run(self.record, request, status, seconds)
            except Exception:
                # The round's others are to be recorded, too.
                logger.exception("A request could not be recorded.")

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        """Write it down."""
        raise NotImplementedError


class AccessLog(Timed):
    """One line a request to the logger `offload.access`, its facts in `extra`; `ms` is in
    milliseconds.

    The query string is left out: it may hold secrets. Probes come every few seconds, and are told
    at DEBUG alone.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self.probes = conf().probe_prefixes
        # What all the lines have in common. A record made anew looks up caller, thread, process and
        # task, a third of a line's time, and no line of ours shows them: these are the start's.
        self.samples = {
            level: vars(logging.LogRecord(access.name, level, __file__, 0, TEXT, (), None))
            for level in (logging.DEBUG, logging.INFO)
        }

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        level = logging.DEBUG if request.path_info.startswith(self.probes) else logging.INFO
        if access.isEnabledFor(level):
            path = _printable(request.path)
            facts = {
                "method": request.method,
                "path": path,
                "status": status,
                "ms": round(seconds * 1000, 2),
                "request_id": request_id.get(),
            }
            access.handle(self._line(level, (request.method, path, status), facts))

    def _line(self, level: int, what: tuple[Any, ...], facts: dict[str, Any]) -> logging.LogRecord:
        # Somebody adds to every record, as tracing does.
        if logging.getLogRecordFactory() is not logging.LogRecord:
            return access.makeRecord(access.name, level, __file__, 0, TEXT, what, None, extra=facts)
        record, now = logging.LogRecord.__new__(logging.LogRecord), time()
        record.__dict__ = {
            **self.samples[level],
            "created": now,
            "msecs": now % 1 * 1000,
            "args": what,
            **facts,
        }
        return record


def log_refusal(method: str, path: str, problem: Problem) -> None:
    """The access line of a request that was answered before Django saw it."""
    facts = {
        "method": method,
        "path": _printable(path),
        "status": problem.status,
        "detail": problem.detail,
    }
    access.info(TEXT, method, facts["path"], problem.status, extra=facts)


def _printable(path: str) -> str:
    """No line is forged by a line end in an address."""
    return path if path.isprintable() else quote(path)


class Metrics(Timed):
    """Counts and times requests by method, route and status; the route is the URL pattern, so there
    are few of them.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        # `labels()` takes a lock and makes strings each time.
        self.series: dict[tuple[str, str, int], Any] = {}

    def record(self, request: HttpRequest, status: int, seconds: float) -> None:
        match = request.resolver_match
        key = (request.method or "", match.route if match else "unmatched", status)
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = REQUESTS.labels(*key)
        series.observe(seconds)


class SecurityHeaders(Middleware):
    """The headers that Django's SecurityMiddleware and XFrameOptionsMiddleware set, from the same
    settings.
    """

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        headers: dict[str, str] = {"X-Frame-Options": settings.X_FRAME_OPTIONS}
        if settings.SECURE_CONTENT_TYPE_NOSNIFF:
            headers["X-Content-Type-Options"] = "nosniff"
        if policy := settings.SECURE_REFERRER_POLICY:
            headers["Referrer-Policy"] = policy if isinstance(policy, str) else ",".join(policy)
        if settings.SECURE_CROSS_ORIGIN_OPENER_POLICY:
            headers["Cross-Origin-Opener-Policy"] = settings.SECURE_CROSS_ORIGIN_OPENER_POLICY
        self.plain = HttpResponse(headers=headers).headers._store
        del self.plain["content-type"]
        self.secure = self.plain
        if age := settings.SECURE_HSTS_SECONDS:
            more = "; includeSubDomains" if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else ""
            more += "; preload" if settings.SECURE_HSTS_PRELOAD else ""
            headers["Strict-Transport-Security"] = f"max-age={age}{more}"
            self.secure = HttpResponse(headers=headers).headers._store
            del self.secure["content-type"]

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: None) -> None:
        # One merge of checked headers under the view's own, instead of four times a check and two
        # encodings.
        ours = self.secure if self.secure is not self.plain and request.is_secure() else self.plain
        # Django's decorator for a view that may be framed.
        if getattr(response, "xframe_options_exempt", False):
            ours = {name: header for name, header in ours.items() if name != "x-frame-options"}
        response.headers._store = {**ours, **response.headers._store}
