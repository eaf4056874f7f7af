"""Prints a traceback once where several processes fail by the same error."""

import time
from collections.abc import Iterable, Iterator

BEGIN = "Traceback (most recent call last):"
# What Python prints between two tracebacks of one error.
BETWEEN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
# An equal traceback of another process is the same error until then. After a change web and workers
# start at the same time; on a busy machine one of them took half a minute longer.
SAME_ERROR_SECONDS = 60.0
# A traceback that is longer is printed as it comes.
MAX_HELD_LINES = 1000


class RepeatedErrors:
    """Holds the lines of a traceback until it is complete, and shortens one that was printed."""

    def __init__(self) -> None:
        self._is_silent = False
        # The lines of an incomplete traceback, by the name of the process.
        self._held: dict[str, list[str]] = {}
        # What was printed last: its end, which process it was, and when.
        self._printed: tuple[list[str], str, float] = ([], "", 0.0)

    def choose(self, name: str, line: str) -> Iterable[str]:
        """The lines to print now.

        Args:
            name: of the process.
            line: its next line.
        """
        if name not in self._held:
            if line != BEGIN:
                return [] if self._is_silent and line in BETWEEN else [line]
            self._held[name] = [line]
            return []

        self._held[name].append(line)
        # The lines of the frames are indented, and the error after them is not.
        if line.startswith(" ") and len(self._held[name]) < MAX_HELD_LINES:
            return []
        return self._complete(name)

    def silence(self) -> None:
        """Choose no more tracebacks: they follow from an end whose reason was printed before."""
        self._is_silent = True

    def rest(self) -> Iterator[tuple[str, str]]:
        """The lines of incomplete tracebacks, each with the name of its process."""
        for name, lines in self._held.items() if not self._is_silent else ():
            yield from ((name, line) for line in lines)

    def _complete(self, name: str) -> Iterable[str]:
        lines = self._held.pop(name)
        if self._is_silent:
            return []

        # Where it was raised, and the error. How it came there differs between the processes.
        end = lines[-3:]
        printed_end, printed_name, printed_at = self._printed
        is_recent = time.monotonic() - printed_at < SAME_ERROR_SECONDS
        if is_recent and end == printed_end and name != printed_name:
            return [f"{lines[-1]} (the traceback is above, of {printed_name})"]
        self._printed = (end, name, time.monotonic())
        return lines
