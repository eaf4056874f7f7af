"""Single flight: callers that ask the same thing at the same time share one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar


class Shared(Protocol):
    """A call that may have several callers."""

    wanted: float  # the instant at which the last of them stops waiting


T = TypeVar("T", bound=Shared)


class _Flight(Generic[T]):
    def __init__(self, subject: T, task: asyncio.Task[Any]) -> None:
        self.subject = subject
        self.task = task
        self.waiters = 0


class Flights(Generic[T]):
    """The calls under way. A shared call belongs to none of its callers: it runs in an empty context with a deadline
    of its own, lives on when the first caller leaves, and is cancelled when the last one does."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Flight[T]] = {}

    async def join(
        self, key: Hashable, begin: Callable[[], tuple[T, Coroutine[Any, Any, Any]]], until: float
    ) -> tuple[T, bool]:
        """Share the call under way with this key, or begin it; wait for it until that instant.

        The key has to hold everything the answer depends on, the caller's identity included. `begin` gives the call
        and the coroutine that makes it; the call is given back, with whether it is done.
        """
        flight = self._open.get(key)
        if flight is None:
            subject, making = begin()
            flight = _Flight(subject, asyncio.get_running_loop().create_task(making, context=Context()))
            self._open[key] = flight
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiters += 1
        flight.subject.wanted = max(flight.subject.wanted, until)
        try:
            done, _ = await asyncio.wait({flight.task}, timeout=until - monotonic())
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait({flight.task})  # its connection is closed before its last caller goes on
        if done:
            flight.task.result()  # raises what is a mistake in code
        return flight.subject, bool(done)

    def part(self) -> None:
        """Let nobody join the calls under way: after a write, a read that began before it may tell of before."""
        self._open.clear()

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._open.get(key) is flight:
            del self._open[key]
