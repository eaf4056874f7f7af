"""What the launcher prints: the lines of all processes, and the box with the addresses."""

import datetime
import logging
import re
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from honcho.printer import Message, Printer

from offload.logs import NonBlockingHandler
from offload_dev.launcher.repeated_errors import RepeatedErrors

# What all processes have printed, for `make follow`: this file, and one older of the same size.
KEPT_LINES = Path("var/log/launcher.log")
MAX_KEPT_BYTES = 16 * 1024 * 1024
# The sequences that colour a terminal.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Celery says this to every worker that is told to stop, also when a file was saved and the worker
# only restarts. Here a second Ctrl-C does nothing else than the first.
MISLEADING = "Hitting Ctrl+C again"


class NonBlockingOutput:
    """What the launcher prints to: a terminal, a pipe or a file.

    Nothing waits here for a reader that stands still, since the launcher could not be stopped then.
    Nothing fails here if the terminal was closed: the service still has to be stopped.

    Args:
        output: where to print.
    """

    def __init__(self, output: TextIO) -> None:
        self.isatty = output.isatty
        self._handler = NonBlockingHandler(output.fileno())

    def write(self, text: str) -> None:
        """Print one or more lines, now or when the reader goes on; any thread may call it."""
        # `print` writes the end of its line by itself, and the handler has written it.
        if text != "\n":
            self._handler.handle(logging.makeLogRecord({"msg": text}))

    def flush(self) -> None:
        """Do nothing: at its end Python itself waits for the reader, for a short time."""


class ProcessPrinter(Printer):  # type: ignore[misc]
    """Prints each line with the name of its process, and leaves out what would mislead.

    Args:
        output: where to print.
    """

    def __init__(self, output: NonBlockingOutput) -> None:
        super().__init__(output)
        KEPT_LINES.parent.mkdir(parents=True, exist_ok=True)
        self._kept = RotatingFileHandler(
            KEPT_LINES, maxBytes=MAX_KEPT_BYTES, backupCount=1, encoding="utf-8"
        )
        self._repeated = RepeatedErrors()
        self._waiting: deque[Message] = deque()
        self._is_writing = False

    def write(self, message: Message) -> None:
        """Print a message, now or when the one that is printed is done.

        Ctrl-C interrupts the launcher anywhere, and honcho prints what it stops then. A file cannot
        be written while it is being written.
        """
        self._waiting.append(message)
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while self._waiting:
                self._write(self._waiting.popleft())
        finally:
            self._is_writing = False

    def _write(self, message: Message) -> None:
        text = message.data
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if MISLEADING in text:
            return

        name = message.name or "launcher"
        for line in text.splitlines():
            plain = COLOURS.sub("", line)
            self._kept.emit(logging.makeLogRecord({"msg": f"{name} | {plain}"}))
            for shown in self._repeated.choose(name, line):
                super().write(message._replace(data=shown))

    def keep_tracebacks(self) -> None:
        """Write tracebacks into the file alone from now on."""
        self._repeated.silence()

    def close(self) -> None:
        """Print what is held back, and keep no more lines."""
        for name, line in self._repeated.rest():
            super().write(Message("line", line, datetime.datetime.now(), name, None))
        self._kept.close()


def print_box(lines: list[str], output: NonBlockingOutput) -> None:
    """Print lines between two rules, so that they are seen among the log lines."""
    width = max(map(len, lines))
    output.write("\n".join(["", "─" * width, *lines, "─" * width, ""]))
