"""Tells which clients read nothing of what was sent to them, or too little."""

import fcntl
import socket
import struct
import termios
from typing import Any

# Where `tcpi_bytes_acked`, 8 bytes, stands in what Linux tells of a TCP connection (tcp(7),
# `struct tcp_info` of linux/tcp.h): since Linux 4.1.
ACKNOWLEDGED_OFFSET = 120


class ClientReading:
    """How much the client of one connection reads, from one look at it to the next.

    Attributes:
        unsent_bytes: what the client had not read at the last look.
    """

    def __init__(self) -> None:
        self.unsent_bytes = 0
        # What it had read at the last look (`bytes_read`).
        self._read_bytes = 0
        # Since when it reads too little, by the loop's time.
        self._slow_since = 0.0

    def is_too_slow(self, transport: Any, now: float, seconds: float, min_rate: float) -> bool:
        """Whether the client has read too little for so long, though there was something to read.

        A client that reads a byte from time to time holds its response, and a place of
        `requests_in_flight`, as one does that reads nothing.

        Args:
            transport: the connection's.
            now: the loop's time, in seconds.
            seconds: the limit.
            min_rate: for so many bytes the client is given a second more.
        """
        unsent = unsent_bytes(transport)
        read = bytes_read(transport.get_extra_info("socket"), unsent) if unsent else 0
        if not unsent or not self.unsent_bytes:
            self._slow_since = now
        elif read > self._read_bytes:
            self._slow_since = min(now, self._slow_since + (read - self._read_bytes) / min_rate)
        self.unsent_bytes, self._read_bytes = unsent, read
        return now - self._slow_since > seconds


def unsent_bytes(transport: Any) -> int:
    """How many bytes wait for the client to read; 0 if the process need not wait for that.

    It waits where it holds some of them itself, and where it is about to close the connection.
    Those in the kernel are counted, too: they are what moves first when the client reads.
    """
    held: int = transport.get_write_buffer_size()
    if not held and not transport.is_closing():
        return 0
    return held + unacknowledged_bytes(transport.get_extra_info("socket"))


def bytes_read(connection: Any, unsent: int) -> int:
    """A number that grows by as much as the client reads.

    Linux says how much the client has acknowledged. Elsewhere the number is taken from what is
    unsent, which tells less: the application writes more while the client reads.
    """
    try:
        told = connection.getsockopt(
            socket.IPPROTO_TCP, socket.TCP_INFO, ACKNOWLEDGED_OFFSET + struct.calcsize("=Q")
        )
        acknowledged: int
        (acknowledged,) = struct.unpack_from("=Q", told, ACKNOWLEDGED_OFFSET)
    except (AttributeError, OSError, struct.error):
        return -unsent
    return acknowledged


def unacknowledged_bytes(connection: Any) -> int:
    """How many bytes the kernel has not delivered yet; 0 where the system does not tell."""
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    unacknowledged: int = struct.unpack("i", answer)[0]
    return unacknowledged
