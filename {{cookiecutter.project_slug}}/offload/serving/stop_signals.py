"""What SIGTERM and SIGINT do to the process: first a drain, then the stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.http import HttpRequest

logger = logging.getLogger("offload.serving")

# Keys of the process's state (`scope["state"]`). The server sets the first before the start, in
# seconds; the second is there from the SIGTERM on.
DRAIN_SECONDS = "drain_seconds"
DRAINING = "draining"


def is_draining(request: HttpRequest) -> bool:
    """Whether the process was told to stop, and asks balancers to send it nothing more."""
    return DRAINING in getattr(request, "scope", {}).get("state", {})


@contextmanager
def on_stop_signal(on_stop: Callable[[], None], state: dict[str, Any]) -> Iterator[None]:
    """Handle SIGTERM and SIGINT before the handlers that the server has set.

    The server tells the application of a stop only after all connections have closed.

    Args:
        on_stop: called on the event loop when the process stops.
        state: the process's.
    """
    signals = _StopSignals(asyncio.get_running_loop(), on_stop, state)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signals.previous[number] = signal.getsignal(number)
            signal.signal(number, signals.handle)
    except ValueError:
        # Only a main thread may set handlers. The server of a test runs in another thread, and
        # ends by the lifespan protocol alone.
        pass
    try:
        yield
    finally:
        signals.end()


class _StopSignals:
    """The two steps of a stop.

    1. Drain: after a SIGTERM the process goes on serving for `drain_seconds`. Readiness is 503, and
       each response closes its connection. A balancer needs some seconds to take an instance out;
       what it sends meanwhile would be lost.
    2. Stop: `on_stop` and the server's own handler are called. A SIGINT, as Ctrl-C sends it, and a
       second signal come to this step at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_stop: Callable[[], None], state: dict[str, Any]
    ) -> None:
        self.previous: dict[int, Any] = {}
        self._loop = loop
        self._on_stop = on_stop
        self._state = state
        self._is_stopped = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Called by Python when the signal arrives."""
        seconds = self._state.get(DRAIN_SECONDS, 0.0)
        if number == signal.SIGTERM and seconds and DRAINING not in self._state:
            self._state[DRAINING] = True
            self._loop.call_soon_threadsafe(self._drain, seconds)
        else:
            self._stop(number, frame)

    def _drain(self, seconds: float) -> None:
        logger.info(
            "Told to stop: not ready any more, and serving for %g s until balancers know. "
            "A second signal stops at once.",
            seconds,
        )
        self._loop.call_later(seconds, self._end_drain)

    def _end_drain(self) -> None:
        if not self._is_stopped:
            self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopped = True
        self._loop.call_soon_threadsafe(self._on_stop)
        previous = self.previous[number]
        if callable(previous):
            previous(number, frame)
        elif previous is signal.SIG_DFL:
            # No server handles the signal, as in a script that runs the application itself.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def end(self) -> None:
        """Put the server's handlers back."""
        self._is_stopped = True
        for number in self.previous:
            if signal.getsignal(number) == self.handle:
                signal.signal(number, self.previous[number])
