"""An open upstream: the path of a call through its protections, outermost first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from aiolimiter import AsyncLimiter

from .answer import Answer, Headers, fetch
from .bulkhead import Bulkhead
from .deadline import until
from .errors import FAILURES, BreakerOpen, DeadlineExceeded
from .flight import Flights
from .http import httpx
from .journey import Journey
from .metrics import Meter
from .transport import AiohttpTransport
from .travel import DEADLINE

if TYPE_CHECKING:
    from .cache import Kept
    from .call import Call
    from .upstream import Upstream

T = TypeVar("T")
log = logging.getLogger("offload.fanout")


@dataclass(slots=True)
class Trip:
    """A call on its way: what is sent, until when, and what has come of it for all who share it."""

    call: Call[Any]
    headers: Headers
    # Its own deadline.
    end: float
    # The latest of its callers' deadlines.
    wanted: float
    attempts: int = 0
    hedged: bool = False
    # When it was over; 0 until then.
    ended: float = 0.0
    answer: Answer | None = None
    error: Exception | None = None


class Live:
    """An upstream's transport and the state of its protections, from its opening to its closing.

    A call goes through cache, single flight, bulkhead, retry within a budget, rate limit, circuit
    breaker and attempt timeout, in this order; every wait on the way ends at the call's one
    deadline.
    """

    def __init__(
        self,
        upstream: Upstream,
        transport: httpx.AsyncBaseTransport,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.upstream = upstream
        self.transport = transport
        self._fetch = (
            transport.fetch
            if isinstance(transport, AiohttpTransport)
            else partial(fetch, transport)
        )
        self.loop = loop
        self.bulkhead = Bulkhead(upstream.max_in_flight, upstream.max_waiting)
        self.breaker = replace(upstream.breaker)
        self.meter = Meter(upstream.name)
        self.meter.breaker.set_function(
            lambda: ("closed", "half-open", "open").index(self.breaker.state)
        )
        self.meter.waiting.set_function(lambda: self.bulkhead.waiting)
        self._retry = replace(upstream.retry)
        self._hedge = replace(upstream.hedge) if upstream.hedge else None
        self._cache = replace(upstream.cache) if upstream.cache else None
        self._limiter = AsyncLimiter(*upstream.rate) if upstream.rate else None
        self._flights: Flights[Trip] = Flights()

    def begin(self, call: Call[T], travelling: Headers) -> Journey[T]:
        """Start the call, these headers added to its own, unless a fresh answer was kept or no time
        is left.
        """
        journey = Journey(self, call)
        key = call.key
        if self._cache and key:
            journey.kept = self._cache.fresh(key)
        end, now = until(self.upstream.timeout), monotonic()
        if not journey.kept and end > now:
            trip = Trip(call, [*call.headers, *travelling], now + self.upstream.timeout, end)
            journey.flight = self._flights.board(
                key if self.upstream.single_flight else None, trip, self._travel
            )
        return journey

    def keep(self, call: Call[Any], answer: Answer) -> None:
        """Remember a good answer, if this upstream has a cache."""
        if self._cache and (key := call.key):
            self._cache.keep(key, answer)

    def stale(self, call: Call[Any]) -> Kept | None:
        """An answer from before, in place of a failed call."""
        return self._cache.stale(key) if self._cache and (key := call.key) else None

    async def _travel(self, trip: Trip) -> None:
        try:
            await self.bulkhead.enter(trip.end)
            try:
                trip.answer = await self._retrying(trip)
            finally:
                self.bulkhead.leave()
        except FAILURES as error:
            trip.error = error
        finally:
            trip.ended = monotonic()
            if not trip.call.key:
                self._flights.part()

    async def _retrying(self, trip: Trip) -> Answer:
        self._retry.count_call()
        last: Exception | None = None
        while True:
            try:
                if self._hedge and trip.call.key:
                    return await self._hedge.race(
                        lambda: self._attempt(trip), lambda: self._spare(trip)
                    )
                return await self._attempt(trip)
            except BreakerOpen as refusal:
                raise last or refusal from None
            except FAILURES as error:
                last = error
                pause = self._retry.pause(error, trip.attempts) if trip.call.idempotent else None
                if pause is None or monotonic() + pause >= trip.wanted:
                    raise
                if not self._retry.afford():
                    self.meter.denied.inc()
                    raise
            await asyncio.sleep(pause)

    def _spare(self, trip: Trip) -> Coroutine[Any, Any, Answer] | None:
        """A second attempt beside the first, if a slot and the budget allow it."""
        if self.bulkhead.full or not self._retry.afford():
            return None
        trip.hedged = True
        self.meter.hedges.inc()
        return self._in_slot(trip)

    async def _in_slot(self, trip: Trip) -> Answer:
        await self.bulkhead.enter(trip.end)
        try:
            return await self._attempt(trip)
        finally:
            self.bulkhead.leave()

    async def _attempt(self, trip: Trip) -> Answer:
        if self._limiter:
            await self._take_turn(self._limiter, trip.end)
        ticket = self.breaker.admit()
        good = None
        started = monotonic()
        try:
            answer = await self._exchange(trip)
            good = answer.status < 500 and not self._slow(started)
        except asyncio.CancelledError:
            # Whoever leaves proves nothing, but a deadline that passed after a long wait does.
            good = False if monotonic() >= trip.wanted and self._slow(started) else None
            raise
        except httpx.TransportError as error:
            good = False
            error.request = httpx.Request(trip.call.method, str(trip.call.url))
            raise
        finally:
            self._record(ticket, good)
        if not 200 <= answer.status < 300:
            response = answer.response()
            raise httpx.HTTPStatusError(
                f"HTTP {answer.status}", request=response.request, response=response
            )
        return answer

    def _record(self, ticket: float, good: bool | None) -> None:
        before = self.breaker.state
        self.breaker.record(ticket, good)
        if self.breaker.state != before:
            log.warning(
                "Upstream %s: circuit breaker %s, was %s",
                self.upstream.name,
                self.breaker.state,
                before,
            )

    def _slow(self, started: float) -> bool:
        after = self.breaker.slow_after or 0.8 * self.upstream.attempt_timeout
        return monotonic() - started >= after

    async def _exchange(self, trip: Trip) -> Answer:
        limit = min(self.upstream.attempt_timeout, trip.end - monotonic())
        if limit <= 0:
            raise DeadlineExceeded("The deadline passed before the request was sent.")
        useful = max(0.0, min(limit, trip.wanted - monotonic()))
        headers = [*trip.headers, (DEADLINE, str(int(useful * 1000)))]
        trip.attempts += 1
        self.meter.attempts.inc()
        try:
            async with asyncio.timeout(limit):
                return await self._fetch(
                    trip.call.method,
                    trip.call.url,
                    headers,
                    trip.call.body,
                    self.upstream.max_bytes,
                )
        except TimeoutError:
            if limit < self.upstream.attempt_timeout:
                raise DeadlineExceeded("The deadline passed before the answer came.") from None
            raise httpx.TimeoutException(f"No whole answer within {limit} s.") from None

    async def _take_turn(self, limiter: AsyncLimiter, end: float) -> None:
        try:
            async with asyncio.timeout(end - monotonic()):
                await limiter.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "The deadline passed while the rate limit held the call back."
            ) from None
