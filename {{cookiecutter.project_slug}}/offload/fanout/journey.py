"""A caller's part in its calls: they begin together, are waited for until the deadline, and none
outlives it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .deadline import until
from .errors import DeadlineExceeded, Status, Undecodable, status_of
from .flight import Flight, leave
from .outcome import Outcome, Outcomes
from .travel import outgoing

if TYPE_CHECKING:
    from .answer import Answer
    from .cache import Kept
    from .call import Call
    from .live import Live, Trip

T = TypeVar("T")
log = logging.getLogger("offload.fanout")


class Journey(Generic[T]):
    """One caller's call: aboard a flight, or over at once with an answer kept from before or no
    time left.
    """

    __slots__ = ("_call", "_live", "_started", "flight", "kept")

    def __init__(self, live: Live, call: Call[T]) -> None:
        self._live = live
        self._call = call
        self._started = monotonic()
        self.flight: Flight[Trip] | None = None
        self.kept: Kept | None = None

    def outcome(self) -> Outcome[T]:
        """What came of it, now that it is over or its deadline has passed."""
        found = self._found()
        if isinstance(found, Exception):
            return self._failed(found)
        try:
            value = self._call.decode(found)
        except ValueError as broken:
            error = Undecodable(f"{len(found.body)} bytes that could not be read: {broken}")
            error.__cause__ = broken
            return self._failed(error)
        if self.kept:
            return self._told("ok", value, age=self.kept.age)
        self._live.keep(self._call, found)
        return self._told("ok", value)

    def _found(self) -> Answer | Exception:
        if self.kept:
            return self.kept.answer
        if self.flight is None:
            return DeadlineExceeded("The deadline passed before the request was sent.")
        if not self.flight.task.done():
            return DeadlineExceeded("The deadline passed before the answer came.")
        # Raises what is a mistake in code.
        self.flight.task.result()
        found = self.flight.trip.answer or self.flight.trip.error
        assert found is not None
        return found

    def _failed(self, error: Exception) -> Outcome[T]:
        status = status_of(error)
        # An open breaker was told when it opened, a full bulkhead is counted.
        if status in ("timeout", "error"):
            call, upstream = self._call, self._live.upstream.name
            log.warning(
                "Upstream %s: %s %s failed: %r", upstream, call.method, call.url.path, error
            )
        if kept := self._live.stale(self._call):
            # Kept for a call that read it in another way.
            with suppress(ValueError):
                return self._told(
                    "stale", self._call.decode(kept.answer), age=kept.age, error=error
                )
        return self._told(status, error=error)

    def _told(self, status: Status, value: T | None = None, **more: Any) -> Outcome[T]:
        attempts, hedged, ended = 0, False, 0.0
        if self.flight:
            trip = self.flight.trip
            attempts, hedged, ended = trip.attempts, trip.hedged, trip.ended
        seconds = (ended or monotonic()) - self._started
        self._live.meter.outcome(status, seconds)
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
            over = await _some(
                pending, end, asyncio.FIRST_COMPLETED if required else asyncio.ALL_COMPLETED
            )
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
    done, _ = await asyncio.wait(
        tasks, timeout=None if end == inf else end - monotonic(), return_when=which
    )
    return [
        name
        for name, journey in pending.items()
        if not done or not journey.flight or journey.flight.task in done
    ]
