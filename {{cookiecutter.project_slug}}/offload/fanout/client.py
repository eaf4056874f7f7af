"""Client: an open upstream, with its pipeline, and the cache and single flight before it."""

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic

from offload.observe.tracing import tracing

from .auth import TokenAuth
from .bulkhead import Bulkhead
from .cache import CachedResponse, ResponseCache
from .circuit_breaker import Circuit
from .context import CallContext, Exchange, R
from .deadline import is_asked, latest_end
from .errors import is_source_fault
from .http import httpx
from .limits import CallLimits, UpstreamLimits
from .metrics import Meter
from .pipeline import build_pipeline
from .raw_response import RawResponse
from .request import Headers, UpstreamRequest
from .send import open_stream, read_whole
from .single_flight import SharedCall, SingleFlight


class UpstreamClient:
    """What an upstream needs while it is open; a new one has every protection in its first state.

    Args:
        name: the upstream's name, for metrics and log lines.
        limits: the upstream's limits.
        transport: any httpx transport. Whoever opened it closes it.
        loop: the event loop that the transport belongs to; `None` if it works in every loop.
        auth: where the pipeline gets the access token of each attempt; `None` if it needs none.
    """

    def __init__(
        self,
        name: str,
        limits: UpstreamLimits,
        transport: httpx.AsyncBaseTransport,
        loop: asyncio.AbstractEventLoop | None,
        auth: TokenAuth | None,
    ) -> None:
        self.name = name
        self.loop = loop
        self.meter = Meter(name)
        self.bulkhead = Bulkhead(name, limits.max_in_flight, limits.max_waiting)
        self.circuit = Circuit(limits.breaker)
        self.pipeline = build_pipeline(
            name, limits, transport, self.bulkhead, self.circuit, self.meter, auth
        )
        self._limits = limits
        # (method, status)
        self._refusals_logged: set[tuple[str, int]] = set()
        self._cache = ResponseCache(limits.cache) if limits.cache else None
        self._single_flight = SingleFlight(self.pipeline, self._forget_all)
        self.meter.watch(lambda: self.bulkhead.waiting, lambda: self.circuit.state)

    def start(
        self, request: UpstreamRequest, propagated: Headers, limits: CallLimits | None
    ) -> SharedCall | None:
        """Start the call, or join the one under way that is the same; `None` if no time is left.

        Args:
            request: what to send.
            propagated: headers to send besides those of the request.
            limits: where this call has other limits than the upstream.
        """
        timeout = (limits and limits.timeout) or self._limits.timeout
        wanted_until, now = latest_end(timeout), monotonic()
        if wanted_until <= now:
            return None

        context = self._context(
            request, propagated, self._limits.max_bytes, read_whole, now + timeout, wanted_until
        )
        key = request.key if self._limits.single_flight else None
        if limits:
            context.max_bytes = limits.max_bytes or context.max_bytes
            context.attempt_timeout = limits.attempt_timeout or context.attempt_timeout
            context.max_attempts = limits.attempts or context.max_attempts
            # A call is shared only with calls that have the same limits.
            key = (key, limits) if key else None
        return self._single_flight.join_or_start(key, context)

    def fresh(self, request: UpstreamRequest) -> CachedResponse | None:
        """A kept response that can stand in for this call."""
        return self._cache.fresh(key) if self._cache and (key := request.key) else None

    def stale(self, request: UpstreamRequest) -> CachedResponse | None:
        """A kept response that can stand in for this call, which failed."""
        return self._cache.stale(key) if self._cache and (key := request.key) else None

    def stream_context(
        self, request: UpstreamRequest, propagated: Headers, max_bytes: int, ends_at: float
    ) -> CallContext[httpx.Response]:
        """The context of a stream."""
        context = self._context(request, propagated, max_bytes, open_stream, ends_at, ends_at)
        context.streaming = True
        return context

    def _context(
        self,
        request: UpstreamRequest,
        propagated: Headers,
        max_bytes: int,
        exchange: Exchange[R],
        ends_at: float,
        wanted_until: float,
    ) -> CallContext[R]:
        limits = self._limits
        return CallContext(
            request,
            # Without those that each attempt adds.
            [*request.headers, *propagated] if limits.propagate else [*request.headers],
            max_bytes,
            exchange,
            ends_at=ends_at,
            wanted_until=wanted_until,
            attempt_timeout=limits.attempt_timeout,
            max_attempts=limits.retry.attempts,
            end_is_asked=is_asked(wanted_until),
            span=tracing.current(),
        )

    def store(self, request: UpstreamRequest, response: RawResponse, called_at: float) -> None:
        """Keep a good response, if this upstream has a cache. See `ResponseCache.store`."""
        if self._cache and (key := request.key):
            self._cache.store(key, response, called_at)

    def forget(self, request: UpstreamRequest) -> None:
        """Drop the kept response that could stand in for this call."""
        if self._cache and (key := request.key):
            self._cache.forget(key)

    def log_level(self, request: UpstreamRequest, error: Exception) -> int:
        """The level at which a failed call is logged.

        What the upstream refuses, such as a 404, may be what many callers ask for. Each status of
        each method is a warning once in the life of this client.
        """
        if is_source_fault(error) or not isinstance(error, httpx.HTTPStatusError):
            return logging.WARNING

        refusal = request.method, error.response.status_code
        if refusal in self._refusals_logged:
            return logging.DEBUG
        self._refusals_logged.add(refusal)
        return logging.WARNING

    def _forget_all(self) -> None:
        if self._cache:
            self._cache.forget_all()


@dataclass(eq=False)
class ClientHolder:
    """Where the calls of an upstream find its client. Empty unless the upstream is open."""

    upstream: str
    client: UpstreamClient | None = field(default=None, repr=False)

    def get(self) -> UpstreamClient:
        """The client; raises `RuntimeError` if there is none for the running event loop."""
        client = self.client
        if client is None or (client.loop and client.loop is not asyncio.get_running_loop()):
            raise RuntimeError(
                f"Upstream {self.upstream!r} is not open in this event loop. fanout.lifespan opens "
                "what the apps' upstreams.py declare: start the service with `make dev`, not with "
                "manage.py runserver, which has a new event loop for every request. In a command, "
                "use `async with upstream.open()`; in a test, "
                "`upstream.using(httpx.MockTransport(...))`."
            )
        return client
