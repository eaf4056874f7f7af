"""`python -m offload_dev.launcher.follow ID`: the lines about one request or job, of all processes.

It reads what the launcher keeps, and goes on with new lines until Ctrl-C. A request's id finds the
request, its failed upstreams, its jobs and their attempts; a job's id finds the job alone.
"""

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from offload_dev.launcher.output import KEPT_LINES

POLL_INTERVAL_SECONDS = 0.2
# How a record of the log begins: with its time, or as JSON. Other lines belong to the one before,
# as those of a traceback do.
RECORD = re.compile(r"\d{4}-\d\d-\d\dT|\{")


class Follower:
    """Chooses the lines about one id, with those that continue them.

    Args:
        wanted: the id.
    """

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        # Whether the last record of a process was chosen, by the name of the process.
        self._chosen: dict[str, bool] = {}

    def choose(self, lines: Iterator[str]) -> Iterator[str]:
        """Those of the launcher's lines that are about the id."""
        for line in lines:
            name, _, text = line.partition(" | ")
            if RECORD.match(text):
                self._chosen[name] = self._wanted in text
            if self._chosen.get(name):
                yield line


def read_lines(path: Path, *, follow: bool) -> Iterator[str]:
    """The lines of the older file and of this one; then those that are added, if `follow`."""
    older = path.with_name(f"{path.name}.1")
    if older.exists():
        with older.open(encoding="utf-8", errors="replace") as file:
            yield from file

    while True:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from _whole_lines(file)
            while follow and not _is_renamed(file, path):
                time.sleep(POLL_INTERVAL_SECONDS)
                yield from _whole_lines(file)
            yield from _whole_lines(file)
        if not follow:
            return


def _whole_lines(file: TextIO) -> Iterator[str]:
    """The lines that are complete. What is there of the next one is read again later."""
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        yield line


def _is_renamed(file: TextIO, path: Path) -> bool:
    """Whether the launcher has begun a new file."""
    with contextlib.suppress(FileNotFoundError):
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    # It does so at this moment.
    return False


def main() -> int:
    """Print until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m offload_dev.launcher.follow")
    parser.add_argument("id", help="of a request (X-Request-ID) or of a job")
    parser.add_argument("--once", action="store_true", help="end after the lines that are there")
    arguments = parser.parse_args()
    if not KEPT_LINES.exists():
        sys.exit(f"There is no {KEPT_LINES}: start the service with `make dev` first.")

    lines = read_lines(KEPT_LINES, follow=not arguments.once)
    with contextlib.suppress(KeyboardInterrupt):
        for line in Follower(arguments.id).choose(lines):
            print(line, end="", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
