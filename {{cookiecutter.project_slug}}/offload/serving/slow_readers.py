"""Tells which clients read nothing of what was sent to them."""

import fcntl
import struct
import termios
from typing import Any


class SlowReader:
    """A connection that remembers whether its client reads."""

    # What the client had not read when it was looked at, and since when it is not less.
    _unsent_bytes = 0
    _unsent_since = 0.0

    def reads_nothing(self, transport: Any, now: float, seconds: float) -> bool:
        """Whether the client has read nothing for so long, though there was something to read.

        Args:
            transport: the connection's.
            now: the loop's time, in seconds.
            seconds: the limit.
        """
        unsent = unsent_bytes(transport)
        if not unsent or unsent < self._unsent_bytes or not self._unsent_bytes:
            self._unsent_since = now
        self._unsent_bytes = unsent
        return now - self._unsent_since > seconds


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
