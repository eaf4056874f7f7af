"""The outer ASGI application: start and end, who is let in, and which of Django's two chains
answers.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import django
from django.conf import settings
from django.core.handlers.asgi import get_script_prefix
from django.http.request import split_domain_port, validate_host

from offload.conf import conf
from offload.problems import Problem
from offload.serving import metrics
from offload.serving.exchange import Exchange, too_large
from offload.serving.handler import chain
from offload.serving.lifespan import run_lifespan
from offload.serving.middleware import log_refusal
from offload.serving.threads import ThreadPool
from offload.serving.types import ASGIApp, Lifespan, Receive, Scope, Send

# What Django allows under DEBUG where nothing is set.
LOCAL_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
# Seconds; the server has cancelled what outlived its grace, this is the time to run `finally`.
LAST_REQUESTS = 2.0


class Application:
    """What the server runs.

    Args:
        lifespans: what the rooms own, opened in this order at start, closed in reverse at the end.
        websocket: the ASGI application for WebSockets (Channels), if the service has them.
    """

    def __init__(
        self, lifespans: Sequence[Lifespan] = (), websocket: ASGIApp | None = None
    ) -> None:
        django.setup(set_prefix=False)
        self.lifespans = [self._request_threads, *lifespans]
        self.websocket = websocket
        self.conf = conf()
        self.threads = ThreadPool(self.conf.request_threads) if self.conf.lean else None
        self.api = chain(settings.API_MIDDLEWARE, self.threads)
        self.pages = chain(settings.MIDDLEWARE, self.threads)
        self.arriving: set[Exchange] = set()
        self.requests: set[Exchange] = set()
        self.streams: set[Exchange] = set()
        self.stopping = False
        metrics.REQUESTS_IN_FLIGHT.set_function(lambda: len(self.requests))
        metrics.STREAMS_IN_FLIGHT.set_function(lambda: len(self.streams))
        metrics.THREADS_LENT.set_function(lambda: self.threads.lent if self.threads else 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(
                self.lifespans, scope, receive, send, stopping=self._stop, drained=self._drained
            )
        elif self.websocket is not None:
            await self.websocket(scope, receive, send)
        else:
            # Before it was accepted: the client sees a 403.
            await send({"type": "websocket.close"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(get_script_prefix(scope))
        probe = path.startswith(self.conf.probe_prefixes)
        admit = _let_in if probe else self._admit
        exchange = scope["offload.exchange"] = Exchange(
            receive, send, self.conf.body_limit, admit, self._stream
        )
        handler = self.api if path.startswith(self.conf.api_prefixes) else self.pages
        try:
            self._check(dict(scope["headers"]), probe)
            await handler(scope, exchange.receive, exchange.send)
            await exchange.finish()
        except Problem as problem:
            if exchange.started:
                raise
            log_refusal(scope["method"], scope["path"], problem)
            await problem.send(send)
        finally:
            # The server's cycle holds the scope, and the exchange the cycle.
            del scope["offload.exchange"]
            self.arriving.discard(exchange)
            self.requests.discard(exchange)
            self.streams.discard(exchange)
            if exchange.gone:
                metrics.DISCONNECTS.inc()

    def _check(self, headers: dict[bytes, bytes], probe: bool) -> None:
        """Refuse what Django shouldn't see; probes and scrapes come in by address.

        Raises:
            Problem: 400 for a foreign host, 413 for a body that says it is too large.
        """
        if not probe:
            check_host(headers)
        if int(headers.get(b"content-length", 0)) > self.conf.body_limit:
            raise too_large(self.conf.body_limit)

    def _admit(self, exchange: Exchange, whole: bool) -> None:
        """Count a request once its body is whole, and apart before: slow senders must only shed
        each other.

        Raises:
            Problem: 503, one request or one unfinished body too many.
        """
        self.arriving.discard(exchange)
        counted = self.requests if whole else self.arriving
        if len(counted) >= self.conf.requests_in_flight:
            metrics.SHED.labels("requests" if whole else "bodies").inc()
            raise _busy()
        counted.add(exchange)

    def _stream(self, exchange: Exchange) -> None:
        """A request turned out to be an event stream: they are long, so they are counted apart.

        Raises:
            Problem: 503, one stream too many.
        """
        if len(self.streams) >= self.conf.streams_in_flight:
            metrics.SHED.labels("streams").inc()
            raise _busy()
        self.requests.discard(exchange)
        self.streams.add(exchange)
        if self.stopping:
            exchange.end()

    def _stop(self) -> None:
        """Told to stop: streams end now, requests get their grace."""
        self.stopping = True
        for stream in self.streams:
            stream.end()

    @asynccontextmanager
    async def _request_threads(self, state: dict[str, Any]) -> AsyncIterator[None]:
        """The first to open and so the last to close: the rooms may still query while they end."""
        self.stopping = False
        if self.threads is not None:
            self.threads.size = self.conf.request_threads
        yield
        if self.threads is not None:
            await asyncio.to_thread(self.threads.close)

    async def _drained(self) -> None:
        """Wait for the last requests, which the server may just have cancelled, before their
        clients are closed.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LAST_REQUESTS
        while (self.requests or self.streams) and loop.time() < until:  # noqa: ASYNC110  # an event costs every request
            await asyncio.sleep(0.01)


def check_host(headers: dict[bytes, bytes]) -> None:
    """Django's own test of the Host header, before either chain.

    Raises:
        Problem: 400, the host isn't one of ALLOWED_HOSTS.
    """
    host = headers.get(b"x-forwarded-host") if settings.USE_X_FORWARDED_HOST else None
    name = (host or headers.get(b"host", b"")).decode("latin-1")
    allowed = settings.ALLOWED_HOSTS or (LOCAL_HOSTS if settings.DEBUG else [])
    if not _is_allowed(name, tuple(allowed)):
        raise Problem(
            400,
            f"The host {name!r} is not served here. Ask for a known one, or add it to ALLOWED_HOSTS.",
        )


@lru_cache(maxsize=256)
def _is_allowed(name: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(name)
    return bool(domain) and validate_host(domain, allowed)


def _let_in(exchange: Exchange, whole: bool) -> None:
    """A probe must get through a crowd, and isn't counted."""


def _busy() -> Problem:
    return Problem(
        503, "The service is at its limit. Try again in a moment.", headers={"Retry-After": "1"}
    )
