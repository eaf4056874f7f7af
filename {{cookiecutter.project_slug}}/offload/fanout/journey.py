"""A caller's part in its calls: they begin together, are waited for until the deadline, and none outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .deadline import until
from .errors import DeadlineExceeded, Status, Undecodable, status_of
from .flight import Flight, leave
from .outcome import Outcome, Outcomes
from .travel import outgoing

if TYPE_CHECKING:
    from .cache import Kept
    from .call import Call
    from .live import Live, Trip

T = TypeVar("T")


class Journey(Generic[T]):
    """One caller's call: aboard a flight, or over at once with an answer kept from before or no time left."""

    __slots__ = ("_call", "_live", "_started", "flight", "kept")

    def __init__(self, live: Live, call: Call[T]) -> None:
        self._live = live
        self._call = call
        self._started = monotonic()
        self.flight: Flight[Trip] | None = None
        self.kept: Kept | None = None

    def outcome(self) -> Outcome[T]:
        """What came of it, now that it is over or its deadline has passed."""
        if self.flight is None:
            if self.kept:
                return self._told("ok", None, self._call.decode(self.kept.answer), age=self.kept.age)
            return self._failed(None, DeadlineExceeded("The deadline passed before the request was sent."))
        trip = self.flight.trip
        if not self.flight.task.done():
            return self._failed(trip, DeadlineExceeded("The deadline passed before the answer came."))
        self.flight.task.result()  # raises what is a mistake in code
        if trip.answer is None:
            return self._failed(trip, trip.error)
        try:
            value = self._call.decode(trip.answer)
        except ValueError as broken:
            error = Undecodable(f"{len(trip.answer.body)} bytes that could not be read: {broken}")
            error.__cause__ = broken
            return self._failed(trip, error)
        self._live.keep(self._call, trip.answer)
        return self._told("ok", trip, value)

    def _failed(self, trip: Trip | None, error: Exception | None) -> Outcome[T]:
        assert error is not None
        if kept := self._live.stale(self._call):
            return self._told("stale", trip, self._call.decode(kept.answer), age=kept.age, error=error)
        return self._told(status_of(error), trip, error=error)

    def _told(self, status: Status, trip: Trip | None, value: T | None = None, **more: Any) -> Outcome[T]:
        seconds = (trip.ended if trip and trip.ended else monotonic()) - self._started
        self._live.meter.outcome(status, seconds)
        attempts, hedged = (trip.attempts, trip.hedged) if trip else (0, False)
        return Outcome(status, seconds * 1000, value, attempts, hedged, **more)


async def travel(calls: Mapping[str, Call[Any]], required: Collection[str] = ()) -> Outcomes:
    """Make these calls side by side, until the context's deadline at most; see `gather`."""
    end, travelling = until(), outgoing()
    journeys: dict[str, Journey[Any]] = {}
    outcomes = Outcomes()
    try:
        for name, call in calls.items():
            journeys[name] = call.upstream.live().begin(call, travelling)
        pending = dict(journeys)
        while pending:
            over = await _some(pending, end, asyncio.FIRST_COMPLETED if required else asyncio.ALL_COMPLETED)
            for name in over:
                outcomes[name] = pending.pop(name).outcome()
            outcomes.require([name for name in over if name in required])
    finally:
        await leave([journey.flight for journey in journeys.values() if journey.flight])
    return Outcomes((name, outcomes[name]) for name in calls)


async def _some(pending: Mapping[str, Journey[Any]], end: float, which: str) -> list[str]:
    """Wait for some of the journeys, or for the deadline; which of them are over then."""
    tasks = {journey.flight.task for journey in pending.values() if journey.flight}
    if not tasks:
        return list(pending)
    done, _ = await asyncio.wait(tasks, timeout=None if end == inf else end - monotonic(), return_when=which)
    return [name for name, journey in pending.items() if not done or not journey.flight or journey.flight.task in done]
