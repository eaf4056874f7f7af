"""Calls under way, each a task; reads that ask the same thing at the same time share one (single
flight).
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar


class Wanted(Protocol):
    """A call that may have several callers."""

    # The instant at which the last of them stops waiting.
    wanted: float


T = TypeVar("T", bound=Wanted)


class Flight(Generic[T]):
    """One call under way. It belongs to none of its callers: it lives on when the first one leaves,
    and is cancelled when the last one does.
    """

    __slots__ = ("callers", "home", "key", "task", "trip")

    def __init__(
        self, home: "Flights[T]", key: Hashable, trip: T, task: asyncio.Task[None]
    ) -> None:
        self.home = home
        self.key = key
        self.trip = trip
        self.task = task
        self.callers = 0


class Flights(Generic[T]):
    """The flights of one upstream that further callers may join."""

    def __init__(self) -> None:
        self._open: dict[Hashable, Flight[T]] = {}

    def board(
        self, key: Hashable, trip: T, travel: Callable[[T], Coroutine[Any, Any, None]]
    ) -> Flight[T]:
        """Join the flight under way with this key, or start one for this trip; `leave` it in any
        case.

        The key has to hold everything the answer depends on, the caller's identity included; None
        is never shared.
        """
        flight = self._open.get(key) if key else None
        if flight is None:
            # What is shared is nobody's, and runs in nobody's context.
            context = Context() if key else None
            task = asyncio.get_running_loop().create_task(travel(trip), context=context)
            flight = Flight(self, key, trip, task)
            if key:
                self._open[key] = flight
                task.add_done_callback(lambda _: self.close(flight))
        flight.callers += 1
        flight.trip.wanted = max(flight.trip.wanted, trip.wanted)
        return flight

    def close(self, flight: Flight[T]) -> None:
        """Let nobody else join this one."""
        if self._open.get(flight.key) is flight:
            del self._open[flight.key]

    def part(self) -> None:
        """Let nobody join any: after a write, a read that began before it may tell of before."""
        self._open.clear()


async def leave(flights: Iterable[Flight[Any]]) -> None:
    """Get off; what nobody is waiting for any more is cancelled, and its connection closed when
    this returns.
    """
    idle: set[asyncio.Task[None]] = set()
    for flight in flights:
        flight.callers -= 1
        if not flight.callers and not flight.task.done():
            flight.home.close(flight)
            flight.task.cancel()
            idle.add(flight.task)
    if idle:
        await asyncio.wait(idle)
