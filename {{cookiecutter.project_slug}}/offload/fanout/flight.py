"""Single flight: callers that ask the same thing at the same time share one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from contextvars import Context
from time import monotonic
from typing import Any, Generic, TypeVar

from .errors import DeadlineExceeded

T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiters = 0


class Flights(Generic[T]):
    """The calls under way. A shared call belongs to none of its callers: it runs in an empty context with a deadline
    of its own, lives on when the first caller leaves, and is cancelled when the last one does."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, start: Callable[[], Coroutine[Any, Any, T]], until: float) -> T:
        """What `start()` returns, called anew only if no call with this key is under way.

        The key has to hold everything the answer depends on, the caller's identity included. `start` must not raise.
        Raises `DeadlineExceeded` if the answer isn't there at the instant `until`.
        """
        flight = self._open.get(key)
        if flight is None:
            flight = _Flight(asyncio.get_running_loop().create_task(start(), context=Context()))
            self._open[key] = flight
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiters += 1
        try:
            done, _ = await asyncio.wait({flight.task}, timeout=until - monotonic())
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait({flight.task})  # its connection is closed before its last caller goes on
        if not done:
            raise DeadlineExceeded("The deadline passed before the answer came.")
        return flight.task.result()

    def part(self) -> None:
        """Let nobody join the calls under way: after a write, a read that began before it may tell of before."""
        self._open.clear()

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._open.get(key) is flight:
            del self._open[key]
