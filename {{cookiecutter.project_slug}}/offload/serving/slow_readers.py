"""Tells which clients read nothing of what was sent to them, or too little."""

import fcntl
import struct
import termios
from typing import Any


class SlowReader:
    """A connection that remembers whether its client reads."""

    # What the client had not read when it was looked at, and since when it reads too little.
    _unsent_bytes = 0
    _slow_since = 0.0

    def reads_too_slowly(self, transport: Any, now: float, seconds: float, min_rate: float) -> bool:
        """Whether the client has read too little for so long, though there was something to read.

        A client that reads a byte from time to time holds its response, and a place of
        `requests_in_flight`, as one does that reads nothing.

        Args:
            transport: the connection's.
            now: the loop's time, in seconds.
            seconds: the limit.
            min_rate: for so many bytes the client is given a second more.
        """
        unsent, before = unsent_bytes(transport), self._unsent_bytes
        if not unsent or not before:
            self._slow_since = now
        elif unsent < before:
            self._slow_since = min(now, self._slow_since + (before - unsent) / min_rate)
        self._unsent_bytes = unsent
        return now - self._slow_since > seconds


def unsent_bytes(transport: Any) -> int:
    """So many bytes wait for the client to read; 0 if the process itself holds none of them.

    Those in the kernel are counted, too: they are what moves first when the client reads.
    """
    held: int = transport.get_write_buffer_size()
    return held + _unacknowledged_bytes(transport.get_extra_info("socket")) if held else 0


def _unacknowledged_bytes(connection: Any) -> int:
    """What the kernel has not delivered yet; 0 where the system does not tell."""
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    unacknowledged: int = struct.unpack("i", answer)[0]
    return unacknowledged
