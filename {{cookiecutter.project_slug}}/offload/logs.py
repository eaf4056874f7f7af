"""A logging handler that never waits for the reader of the log.

`logging.StreamHandler` writes in the thread that logs. If the reader of the pipe stands still, such
as a log collector without disk space, the pipe is full after some 300 lines. Then the next line
waits for ever, and the event loop with it.
"""

import logging
import os
import select
import socket
import stat
import threading
import weakref
from collections import deque
from contextlib import suppress

from offload.observe import Counter
from offload.observe.no_fork import NO_FORK

# Lines that wait for a slow reader take so much memory at most, in bytes. It is some 20 s of access
# lines at 1000 requests a second.
MAX_BACKLOG_BYTES = 4 * 1024 * 1024
# At its end a process waits for the reader of its last lines no longer than this.
LOG_FLUSH_TIMEOUT_SECONDS = 1.0
# The writer thread looks this often whether the process ends.
POLL_INTERVAL_MILLISECONDS = 500
STDERR = 2

DROPPED = Counter(
    "offload_log_lines_dropped_total",
    "Lines of the log that were dropped because the reader of the log was too slow.",
)


class NonBlockingHandler(logging.Handler):
    """Writes lines to stderr, or drops and counts them.

    Three cases: 1. the reader keeps up: the line is written at once, by the thread that logs;
    2. the reader is slow: the lines wait in memory, and a thread writes them; 3. there are more
    than `max_backlog` bytes of them: the line is dropped, and counted. The next line that gets
    through is preceded by one that says how many are missing.

    Args:
        fd: the file descriptor to write to.
        max_backlog: in bytes.
    """

    def __init__(self, fd: int = STDERR, max_backlog: int = MAX_BACKLOG_BYTES) -> None:
        super().__init__()
        self.output = open_output(fd)
        self.max_backlog = max_backlog
        self.closed = False
        self._begin()
        # A process asks nobody whether it was forked: that would be a system call a line.
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_again(this()))

    def _begin(self) -> None:
        self.backlog: deque[bytes] = deque()
        self.backlog_bytes = 0
        self.dropped = 0
        self.changed = threading.Condition()
        self.writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. The caller holds the handler's lock."""
        try:
            line = self._encode(record)
        except Exception as error:  # noqa: BLE001  # logging must not raise
            # `handleError` would write to stderr itself, and could block.
            line = f"A line of {record.name} could not be formatted: {error!r}\n".encode()
        self._write(line)

    def _encode(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")

    def _write(self, line: bytes) -> None:
        """Write a line, or keep or drop it. Never blocks."""
        if self.closed:
            return
        # Only this method adds to the backlog, so an empty one stays empty here.
        if not self.backlog:
            if self.dropped:
                line = self._missing() + line
            written = self.output.write_now(line)
            if written == len(line):
                return
            line = line[written:]

        with self.changed:
            if self.backlog and self.backlog_bytes + len(line) > self.max_backlog:
                self.dropped += 1
                with NO_FORK:
                    DROPPED.inc()
                return
            self._keep(self._missing() + line)

    def _missing(self) -> bytes:
        """A line that says how many lines were dropped before it; empty if none were."""
        if not self.dropped:
            return b""
        text = f"{self.dropped} lines of the log are missing here: its reader was too slow."
        self.dropped = 0
        facts = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        return self._encode(logging.makeLogRecord({**facts, "msg": text}))

    def _keep(self, line: bytes) -> None:
        """Let the writer thread write the line. The caller holds the condition."""
        self.backlog.append(line)
        self.backlog_bytes += len(line)
        if self.writer is None:
            self.writer = threading.Thread(target=self._drain, name="log-writer", daemon=True)
            self.writer.start()
        self.changed.notify_all()

    def _drain(self) -> None:
        """Write what waits, in the order of its arrival; runs in the writer thread."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.backlog or self.closed)
                if self.closed:
                    return
                line = self.backlog[0]
            while line and not self.closed:
                if self.output.wait(POLL_INTERVAL_MILLISECONDS):
                    line = line[self.output.write_now(line) :]
            with self.changed:
                self.backlog_bytes -= len(self.backlog.popleft())
                self.changed.notify_all()

    def flush(self) -> None:
        """Wait for the reader, for a short time: `logging.shutdown` calls this at the end."""
        with self.changed:
            self.changed.wait_for(lambda: not self.backlog, LOG_FLUSH_TIMEOUT_SECONDS)

    def close(self) -> None:
        """End the writer thread. What still waits for the reader is lost."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
            writer = self.writer
        if writer is not None:
            writer.join(2 * POLL_INTERVAL_MILLISECONDS / 1000)
        self.output.close()
        super().close()


def _begin_again(handler: NonBlockingHandler | None) -> None:
    """In a forked process: its parent has the thread, and writes the lines that wait."""
    if handler is not None:
        handler._begin()  # noqa: SLF001  # of this module


class Output:
    """A file, to which a write never waits for long: the system keeps what is written in memory.

    Args:
        fd: the file descriptor.
        is_own: whether it was opened for this object, which closes it.
    """

    def __init__(self, fd: int, *, is_own: bool = False) -> None:
        self.fd = fd
        self.is_own = is_own

    def write_now(self, data: bytes) -> int:
        """Write what can be written without waiting; the number of bytes."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            # Nobody can read it any more. A log must not end the process.
            return len(data)

    def wait(self, milliseconds: int) -> bool:
        """Whether something can be written, at the latest after this time."""
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        return bool(poll.poll(milliseconds))

    def close(self) -> None:
        """Close what this object has opened."""
        if self.is_own:
            os.close(self.fd)


class SocketOutput(Output):
    """A socket, such as that of systemd's journal."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.socket = socket.socket(fileno=os.dup(fd))

    def close(self) -> None:
        """As `Output.close`."""
        self.socket.close()

    def write_now(self, data: bytes) -> int:
        """As `Output.write_now`."""
        try:
            return self.socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)


class SharedOutput(Output):
    """A pipe or terminal that cannot be opened anew, and so cannot be told not to block.

    Other processes use the same open file, and the flag would be theirs, too. A pipe that is ready
    takes `PIPE_BUF` bytes at once (POSIX), unless another process was faster.
    """

    def write_now(self, data: bytes) -> int:
        """As `Output.write_now`."""
        if not self.wait(0):
            return 0
        return super().write_now(data[: select.PIPE_BUF])


def open_output(fd: int) -> Output:
    """The way to write to a file descriptor without blocking."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        # Opened anew it would be written from its beginning.
        return Output(fd)
    if stat.S_ISSOCK(mode):
        return SocketOutput(fd)
    with suppress(OSError):
        # Linux: another open file for the same pipe or terminal, with flags of its own.
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY
        return Output(os.open(f"/proc/self/fd/{fd}", flags), is_own=True)
    return SharedOutput(fd)
