"""Stalls: the time in which the event loop stood still, which is no fault of an upstream."""

import asyncio
from contextvars import Context

# The loop is looked at so often while requests are under way.
LOOK_SECONDS = 0.05
# It may be so late without having stood still.
MIN_STALL_SECONDS = 0.05


class Stalls:
    """How long the loop has stood still while requests to one upstream were under way.

    A view that blocks it, a stopped process or a busy machine: meanwhile no response is read,
    though it may have come. The timeouts of the requests are moved by as much, so that what has
    come is read first.

    Attributes:
        seconds: of all stalls together.
    """

    __slots__ = ("_loop", "_timeouts", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self._timeouts: set[asyncio.Timeout] = set()
        # The loop that looks; None while nobody does.
        self._loop: asyncio.AbstractEventLoop | None = None

    def enter(self, timeout: asyncio.Timeout) -> None:
        """A request with this timeout is under way until it has to `leave`."""
        self._timeouts.add(timeout)
        loop = asyncio.get_running_loop()
        # A test may have a loop of its own.
        if self._loop is not loop:
            self._look_later(loop)

    def leave(self, timeout: asyncio.Timeout) -> None:
        """The request is over."""
        self._timeouts.discard(timeout)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        due_at = loop.time() + LOOK_SECONDS
        # In nobody's context: one look follows the other while there are requests, and would keep
        # the context of the first caller.
        loop.call_later(LOOK_SECONDS, self._look, loop, due_at, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        late = loop.time() - due_at
        if late > MIN_STALL_SECONDS:
            self.seconds += late
            # These are due later than this look, and so have not fired yet.
            for timeout in self._timeouts:
                when = timeout.when()
                if when is not None and not timeout.expired():
                    timeout.reschedule(when + late)

        if self._timeouts:
            self._look_later(loop)
        else:
            self._loop = None
