"""The connection as the protocol writes to it, which closes without destroying what it has sent."""

from collections.abc import Callable
from typing import Any


class LingeringTransport:
    """A transport whose `close` waits for a client that is still sending.

    A socket that is closed while bytes arrive answers with a reset, and the reset may destroy the
    response before the client has read it. So this side only ends its half, and the protocol
    discards what arrives, until the client closes or `CLOSE_TIMEOUT_SECONDS` is over.

    It has the methods of a transport that uvicorn's HTTP protocol calls, and no others.

    Args:
        transport: the event loop's.
        begin_to_linger: called when the connection is to be closed. It returns whether the client
            may still be sending; if so, the protocol discards from now on what arrives.
    """

    def __init__(self, transport: Any, begin_to_linger: Callable[[], bool] = lambda: False) -> None:
        self._transport = transport
        self._begin_to_linger = begin_to_linger
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        """Send."""
        if not self.is_closing():
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held back: nothing here."""

    def close(self) -> None:
        """Close, or end this side's half of the connection if the client is still sending."""
        self.flush()
        if not self._begin_to_linger():
            self._transport.close()
        elif not self.is_closing():
            self.is_closing = lambda: True
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def abort(self) -> None:
        """Close at once. What was not sent yet is lost."""
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        """How many bytes the kernel has not taken yet, without those that are held back here."""
        size: int = self._transport.get_write_buffer_size()
        return size

    def forget_protocol(self) -> None:
        """The connection is lost. Without references in a circle it needs no garbage collector."""
        self._begin_to_linger = lambda: False

    def unwrap(self) -> Any:
        """The transport itself, with nothing held back."""
        self.flush()
        return self._transport
