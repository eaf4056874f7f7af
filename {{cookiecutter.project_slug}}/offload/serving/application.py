"""The ASGI application: what it opens at start, and the layers that a request passes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

import django
from django.conf import settings

from offload.conf import conf
from offload.observe.live_gauges import refresh_gauges, show_gauge
from offload.observe.traced_queries import trace_queries
from offload.observe.tracing import tracing
from offload.problems import Problem
from offload.serving import metrics
from offload.serving.disconnect import ClientDisconnect
from offload.serving.handler import build_handler
from offload.serving.head_checks import (
    CostlyHeaders,
    HostCheck,
    MethodCheck,
    check_costly_headers,
    is_served_host,
)
from offload.serving.lifespan import run_lifespan
from offload.serving.load_shedding import InFlight, LoadShedding
from offload.serving.loop_turns import with_loop_turns
from offload.serving.paths import PathPrefixes
from offload.serving.raw_refusals import deny_websocket
from offload.serving.refusals import Refusals
from offload.serving.request_body import BodyLimit, BodyTimeout, LargeBodies
from offload.serving.request_state import REQUEST_STATE, RequestState, new_request_state
from offload.serving.request_thread import SocketThread
from offload.serving.response_headers import choose_request_id
from offload.serving.stream_shutdown import OpenStreams, StreamShutdown
from offload.serving.sweeps import Sweeps
from offload.serving.thread_pool import ThreadPool
from offload.serving.types import ASGIApp, Lifespan, Receive, Scope, Send

# The server cancels what outlives its grace period. The cancelled requests have this time to run
# their `finally` blocks, before what they use is closed.
CLEANUP_TIMEOUT_SECONDS = 2.0

Layer = Callable[[ASGIApp], ASGIApp]


class TwoChains:
    """Sends a request through the API's middleware, or through Django's full stack.

    Args:
        api: what answers the paths that begin with one of `api_prefixes`.
        pages: what answers all other paths.
    """

    def __init__(self, api: ASGIApp, pages: ASGIApp, *, api_prefixes: tuple[str, ...]) -> None:
        self.api = api
        self.pages = pages
        self.api_paths = PathPrefixes(api_prefixes)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request, without a coroutine of its own (0.2 us)."""
        state: RequestState = scope[REQUEST_STATE]
        chain = self.api if self.api_paths.match(state.path) else self.pages
        return chain(scope, receive, send)


class Application:
    """What the server runs.

    Args:
        lifespans: what the rooms own: opened in this order at start, closed in reverse at the end.
        websocket: the ASGI application for WebSockets (Channels), if the service has them.
    """

    def __init__(
        self, lifespans: Sequence[Lifespan] = (), websocket: ASGIApp | None = None
    ) -> None:
        django.setup(set_prefix=False)
        self.conf = conf()
        tracing.start(self.conf.events_prefix)
        trace_queries()
        self.lifespans = [self._request_threads, *lifespans]
        self.websocket = websocket
        # Apart, so that pages, such as the login of the admin, take no thread from the API.
        self.api_threads = self._thread_pool()
        self.page_threads = self._thread_pool()
        self.probes = PathPrefixes(self.conf.probe_prefixes)
        # The loop that serves. To ask for the running one is a system call before Python 3.12.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.sweeps = Sweeps()
        self.streams = OpenStreams()
        self.in_flight = InFlight(self.conf.requests_in_flight, self.conf.streams_in_flight)
        self.layers = self._layers()
        self.sweeps.add(partial(self.in_flight.end_overdue, self.conf.request_timeout))
        self._show_gauges()
        self.sweeps.add(lambda _: refresh_gauges())

    def _layers(self) -> ASGIApp:
        """All that an HTTP request passes before Django, from the outside to the inside."""
        conf, in_flight, sweeps = self.conf, self.in_flight, self.sweeps
        api_middleware = getattr(settings, "API_MIDDLEWARE", settings.MIDDLEWARE)
        return in_layers(
            # 1. Notices that the client left, and counts it.
            ClientDisconnect,
            # 2. Answers the refusals of the layers below: 400, 405, 408, 413, 503.
            Refusals,
            # 3. 405 for a method that no view serves.
            MethodCheck,
            # 4. 400 for a foreign host: before anything is counted or read.
            HostCheck,
            # 5. 400 for a header that Django could not parse, or not soon.
            CostlyHeaders,
            # 6. 413 for a body that is too large: before the body is kept.
            partial(
                BodyLimit,
                max_bytes=conf.body_limits,
                default_max_bytes=conf.body_limit,
                form_max_bytes=conf.form_limit,
            ),
            # 7. 503 for a request, an unfinished body or an event stream too many.
            partial(LoadShedding, in_flight=in_flight),
            # 8. 408 for a body that arrives too slowly.
            partial(BodyTimeout, sweeps, seconds=conf.body_timeout, min_rate=conf.body_min_rate),
            # 9. One large body an iteration of the loop: others are served between them.
            LargeBodies,
            # 10. Ends the event streams at a stop. Layer 7 counts a stream until it has ended.
            partial(StreamShutdown, streams=self.streams),
            # 11. Django, by path: the API's middleware or the full stack.
            around=TwoChains(
                api=build_handler(api_middleware, self.api_threads),
                pages=build_handler(settings.MIDDLEWARE, self.page_threads),
                api_prefixes=conf.api_prefixes,
            ),
        )

    def _thread_pool(self) -> ThreadPool | None:
        """The threads of one chain. Django's stock handler starts its own."""
        if not self.conf.lean:
            return None
        return ThreadPool(
            self.conf.request_threads,
            self.conf.max_request_threads,
            max_connections=self.conf.max_request_connections,
            wait_timeout=self.conf.request_thread_timeout,
        )

    def _show_gauges(self) -> None:
        in_flight, pools = self.in_flight, self._pools()
        slots = [pool.connection_slots for pool in pools]
        show_gauge(metrics.REQUESTS_IN_FLIGHT, lambda: len(in_flight.requests))
        show_gauge(metrics.STREAMS_IN_FLIGHT, lambda: len(in_flight.streams))
        show_gauge(metrics.THREADS_LENT, lambda: sum(pool.lent for pool in pools))
        show_gauge(metrics.THREADS_WANTED, lambda: sum(len(pool.waiting) for pool in pools))
        show_gauge(metrics.DATABASE_CONNECTIONS, lambda: sum(each.used for each in slots))
        show_gauge(metrics.DATABASE_CONNECTIONS_WANTED, lambda: sum(each.waiting for each in slots))

    def _pools(self) -> list[ThreadPool]:
        return [pool for pool in (self.api_threads, self.page_threads) if pool is not None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what ASGI calls a connection: an HTTP request, the process's life, a WebSocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(
                self.lifespans,
                scope,
                receive,
                send,
                on_stop=self.streams.stop,
                wait_for_requests=self._wait_for_requests,
            )
        elif self.websocket is not None and is_served_host(scope):
            await self._websocket(self.websocket, scope, receive, send)
        else:
            # The WebSocket has not been accepted yet: its client sees a 403.
            await send({"type": "websocket.close"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Give the request its state for as long as it lasts, and send it through the layers."""
        state = new_request_state(scope, self.probes)
        state.task = asyncio.current_task(self.loop)
        scope[REQUEST_STATE] = state
        try:
            await self.layers(scope, receive, send)
        finally:
            # Without references in a circle a request needs no garbage collector: the server keeps
            # the scope, and the functions of the state keep the server's `receive`.
            del scope[REQUEST_STATE]
            state.on_event_stream.clear()
            state.task = None

    async def _websocket(self, served: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Count it as an event stream, since it waits as long; one too many is answered 503.

        Its login parses the head of the request as Django does.
        """
        state = new_request_state(scope, self.probes)
        try:
            check_costly_headers(scope["headers"])
            self.in_flight.add_stream(state)
        except Problem as problem:
            await deny_websocket(problem, send, choose_request_id(""))
            return

        thread = SocketThread(self.api_threads) if self.api_threads else nullcontext()
        try:
            with thread:
                await served(scope, receive, with_loop_turns(send))
        finally:
            self.in_flight.remove(state)

    @asynccontextmanager
    async def _request_threads(self, state: dict[str, Any]) -> AsyncIterator[None]:
        """Opened first and so closed last: the other lifespans may query while they end."""
        self.streams.stopping = False
        for pool in self._pools():
            pool.open()
        self.loop = asyncio.get_running_loop()
        sweeping = self.loop.create_task(self.sweeps.run())
        yield
        self.loop = None
        await self.sweeps.stop(sweeping)
        for pool in self._pools():
            await asyncio.to_thread(pool.close)
        await asyncio.to_thread(tracing.flush)

    async def _wait_for_requests(self) -> None:
        """Wait for the last requests, which the server may just have cancelled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + CLEANUP_TIMEOUT_SECONDS
        # An event would cost every request some of its time. This loop costs one stop some.
        busy = self.in_flight
        while (busy.requests or busy.streams) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def in_layers(*layers: Layer, around: ASGIApp) -> ASGIApp:
    """Wrap an application in layers, of which the first is the outermost."""
    for layer in reversed(layers):
        around = layer(around)
    return around
