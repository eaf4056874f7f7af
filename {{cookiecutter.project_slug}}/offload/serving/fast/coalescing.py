"""Sends what is written in one iteration of the event loop together, at its end.

uvicorn writes the head and the body of a response apart, and uvloop sends each at once. So a
client's process is woken twice a response, between the other requests of the iteration. Sent
together, a small response takes a quarter less CPU (40 us of some 130), 16 connections get 30 %
more responses a second, and their p99 falls by a third. A single connection sees no difference.
"""

import asyncio
import logging
from functools import lru_cache
from time import perf_counter
from typing import Any

from offload.serving.lingering_transport import LingeringTransport
from offload.serving.protocol import HttpProtocol

logger = logging.getLogger("offload.serving")

# A connection holds back at most this. More leaves at once, so that a slow reader pauses the
# writer.
MAX_BUFFERED_BYTES = 16 * 1024
# Nothing is held back longer than this by an iteration in which many requests compute a little.
MAX_HOLD_SECONDS = 0.002


class CoalescingHttpProtocol(HttpProtocol):
    """One connection of a client, whose writes leave together."""

    def _wrap(self, transport: Any) -> Any:
        return CoalescingTransport(transport, iteration_of(self.loop), self._begin_to_linger)

    def eof_received(self) -> None:
        """The client sends no more, and may still read.

        The server closes the connection now, so what is held back goes first.
        """
        self.transport.flush()


class LoopIteration:
    """The connections that hold something back in the current iteration of the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._holding: list[CoalescingTransport] = []
        self._holding_since = 0.0

    def hold(self, transport: "CoalescingTransport") -> None:
        """Flush this transport at the end of the iteration, or now if the iteration is long."""
        now = perf_counter()
        if not self._holding:
            self._loop.call_soon(self.flush_all)
            self._holding_since = now

        self._holding.append(transport)
        if now - self._holding_since > MAX_HOLD_SECONDS:
            self.flush_all()

    def flush_all(self) -> None:
        """Send what all the connections hold back."""
        holding, self._holding = self._holding, []
        for transport in holding:
            try:
                transport.flush()
            except Exception:
                # The connections after it have answers to send, too.
                logger.exception("What was held back for a client cannot be sent: it is closed.")
                transport.abort()


@lru_cache(maxsize=1)
def iteration_of(loop: asyncio.AbstractEventLoop) -> LoopIteration:
    """The one object for all connections of a loop. A process serves on one loop."""
    return LoopIteration(loop)


class CoalescingTransport(LingeringTransport):
    """A transport that holds small writes back."""

    def __init__(self, transport: Any, iteration: LoopIteration, *linger: Any) -> None:
        super().__init__(transport, *linger)
        self._iteration = iteration
        self._buffer: list[bytes] = []
        self._buffered_bytes = 0

    def write(self, data: bytes) -> None:
        """Send at the end of the iteration, or now if it is much."""
        # An application may use its buffer again as soon as it has sent it.
        self._buffer.append(data if type(data) is bytes else bytes(data))
        self._buffered_bytes += len(data)
        if self._buffered_bytes > MAX_BUFFERED_BYTES:
            self.flush()
        elif len(self._buffer) == 1:
            self._iteration.hold(self)

    def flush(self) -> None:
        """Send what is held back, unless the client has left since."""
        buffer, self._buffer, self._buffered_bytes = self._buffer, [], 0
        if buffer and not self.is_closing():
            self._transport.writelines(buffer)
