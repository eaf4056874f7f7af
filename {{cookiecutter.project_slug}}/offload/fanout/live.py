"""An open upstream: the path of a call through its protections, outermost first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from aiolimiter import AsyncLimiter

from .bulkhead import Bulkhead
from .deadline import until
from .errors import FAILURES, BreakerOpen, DeadlineExceeded, Status, Undecodable, status_of
from .flight import Flights
from .http import httpx
from .metrics import Meter
from .outcome import Outcome
from .travel import DEADLINE, outgoing

if TYPE_CHECKING:
    from .call import Call
    from .upstream import Upstream

T = TypeVar("T")


@dataclass(slots=True)
class Trip:
    """A call on its way: what is sent, until when, and what has come of it for all who share it."""

    call: Call[Any]
    headers: list[tuple[str, str]]
    end: float
    attempts: int = 0
    hedged: bool = False
    response: httpx.Response | None = None
    error: Exception | None = None


class Live:
    """An upstream's transport and the state of its protections, from its opening to its closing.

    A call goes through cache, single flight, bulkhead, retry within a budget, rate limit, circuit breaker and attempt
    timeout, in this order; every wait on the way ends at the call's one deadline.
    """

    def __init__(
        self, upstream: Upstream, transport: httpx.AsyncBaseTransport, loop: asyncio.AbstractEventLoop | None
    ) -> None:
        self.upstream = upstream
        self.transport = transport
        self.loop = loop
        self.bulkhead = Bulkhead(upstream.max_in_flight, upstream.max_waiting)
        self.breaker = replace(upstream.breaker)
        self.meter = Meter(upstream.name)
        self.meter.breaker.set_function(lambda: ("closed", "half-open", "open").index(self.breaker.state))
        self.meter.waiting.set_function(lambda: self.bulkhead.waiting)
        self._retry = replace(upstream.retry)
        self._hedge = replace(upstream.hedge) if upstream.hedge else None
        self._cache = replace(upstream.cache) if upstream.cache else None
        self._limiter = AsyncLimiter(*upstream.rate) if upstream.rate else None
        self._flights: Flights[Trip] = Flights()

    async def answer(self, call: Call[T]) -> Outcome[T]:
        """Make the call, or find its answer in the cache, and tell what came of it."""
        started = monotonic()
        trip = Trip(call, [*call.headers, *outgoing()], until(self.upstream.timeout))
        cache = self._cache if call.is_read else None
        if cache and (kept := cache.fresh(call.key)):
            return self._told("ok", started, trip, call.decode(kept.response), age=kept.age)
        trip = await self._share(trip)
        error = trip.error
        if trip.response is not None:
            try:
                value = call.decode(trip.response)
            except ValueError as broken:
                error = Undecodable(f"{len(trip.response.content)} bytes that could not be read: {broken}")
                error.__cause__ = broken
            else:
                if cache:
                    cache.keep(call.key, trip.response)
                return self._told("ok", started, trip, value)
        assert error is not None
        if cache and (kept := cache.stale(call.key)):
            return self._told("stale", started, trip, call.decode(kept.response), age=kept.age, error=error)
        return self._told(status_of(error), started, trip, error=error)

    def _told(self, status: Status, started: float, trip: Trip, value: T | None = None, **more: Any) -> Outcome[T]:
        seconds = monotonic() - started
        self.meter.outcome(status, seconds)
        return Outcome(status, seconds * 1000, value, trip.attempts, trip.hedged, **more)

    async def _share(self, trip: Trip) -> Trip:
        if not trip.call.is_read:
            self._flights.part()
        elif self.upstream.single_flight:
            own = replace(trip, end=monotonic() + self.upstream.timeout)
            try:
                return await self._flights.join(trip.call.key, lambda: self._travel(own), trip.end)
            except DeadlineExceeded as error:
                trip.error = error
                return trip
        return await self._travel(trip)

    async def _travel(self, trip: Trip) -> Trip:
        try:
            await self.bulkhead.enter(trip.end)
            try:
                trip.response = await self._retrying(trip)
            finally:
                self.bulkhead.leave()
        except FAILURES as error:
            trip.error = error
        return trip

    async def _retrying(self, trip: Trip) -> httpx.Response:
        self._retry.count_call()
        last: Exception | None = None
        while True:
            try:
                if self._hedge and trip.call.is_read:
                    return await self._hedge.race(lambda: self._attempt(trip), lambda: self._spare(trip))
                return await self._attempt(trip)
            except BreakerOpen as refusal:
                raise last or refusal from None
            except FAILURES as error:
                last = error
                pause = self._retry.pause(error, trip.attempts) if trip.call.idempotent else None
                if pause is None or monotonic() + pause >= trip.end:
                    raise
                if not self._retry.afford():
                    self.meter.denied.inc()
                    raise
            await asyncio.sleep(pause)

    def _spare(self, trip: Trip) -> Coroutine[Any, Any, httpx.Response] | None:
        """A second attempt beside the first, if a slot and the budget allow it."""
        if self.bulkhead.full or not self._retry.afford():
            return None
        trip.hedged = True
        self.meter.hedges.inc()
        return self._in_slot(trip)

    async def _in_slot(self, trip: Trip) -> httpx.Response:
        await self.bulkhead.enter(trip.end)
        try:
            return await self._attempt(trip)
        finally:
            self.bulkhead.leave()

    async def _attempt(self, trip: Trip) -> httpx.Response:
        if self._limiter:
            await self._take_turn(self._limiter, trip.end)
        ticket = self.breaker.admit()
        good = None
        started = monotonic()
        try:
            response = await self._exchange(trip)
            good = response.status_code < 500 and not self._slow(started)
        except httpx.TimeoutException:
            good = False if self._slow(started) else None
            raise
        except httpx.TransportError:
            good = False
            raise
        finally:
            self.breaker.record(ticket, good)
        if not response.is_success:
            raise httpx.HTTPStatusError(f"HTTP {response.status_code}", request=response.request, response=response)
        return response

    def _slow(self, started: float) -> bool:
        after = self.breaker.slow_after or 0.8 * self.upstream.attempt_timeout
        return monotonic() - started >= after

    async def _exchange(self, trip: Trip) -> httpx.Response:
        limit = min(self.upstream.attempt_timeout, trip.end - monotonic())
        if limit <= 0:
            raise DeadlineExceeded("The deadline passed before the request was sent.")
        request = httpx.Request(
            trip.call.method,
            trip.call.url,
            headers=[*trip.headers, (DEADLINE, str(int(limit * 1000)))],
            content=trip.call.body,
            extensions={"max_bytes": self.upstream.max_bytes},
        )
        trip.attempts += 1
        self.meter.attempts.inc()
        try:
            async with asyncio.timeout(limit):
                response = await self.transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.TimeoutException(f"No whole answer within {limit:.3f} s.", request=request) from None
        response.request = request
        return response

    async def _take_turn(self, limiter: AsyncLimiter, end: float) -> None:
        try:
            async with asyncio.timeout(end - monotonic()):
                await limiter.acquire()
        except TimeoutError:
            raise DeadlineExceeded("The deadline passed while the rate limit held the call back.") from None
