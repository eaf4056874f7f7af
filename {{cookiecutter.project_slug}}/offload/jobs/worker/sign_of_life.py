"""The worker's sign of life: a file whose age a container's probe reads (`health.py`).

It says that the worker's main process goes on, and nothing about broker and database: a restart of
the worker would not bring those back.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger("offload.jobs")

# Seconds between two signs.
SIGN_INTERVAL_SECONDS = 1.0
# Celery's loop turns at least every few seconds, and tries a lost broker every second. A longer
# silence is a loop that hangs: then there are no more signs.
MAX_LOOP_SILENCE_SECONDS = 30.0


class MainLoop:
    """When Celery's loop, in the main thread, last turned. `consumer.py` notes it."""

    def __init__(self) -> None:
        self._turned_at = time.monotonic()

    def turned(self) -> None:
        """Note that the loop has turned, or has tried to reach the broker, just now."""
        self._turned_at = time.monotonic()

    def silence(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._turned_at


class SignOfLife(threading.Thread):
    """A thread in the worker's main process that touches a file every second.

    Args:
        path: the file.
        main_loop: without its turns there are no signs.
        is_stopping: whether the worker shuts down. Its wait for the jobs stops the loop, and there
            are signs all the same.
    """

    def __init__(self, path: Path, main_loop: MainLoop, is_stopping: Callable[[], bool]) -> None:
        super().__init__(name="offload-sign-of-life", daemon=True)
        self._path = path
        self._main_loop = main_loop
        self._is_stopping = is_stopping
        self._ended = threading.Event()
        # Whether the last sign was written: the first failure is logged.
        self._is_written = True

    def run(self) -> None:
        """Give signs until `end`."""
        while not self._ended.is_set():
            if self._is_stopping() or self._main_loop.silence() < MAX_LOOP_SILENCE_SECONDS:
                self._touch()
            self._ended.wait(SIGN_INTERVAL_SECONDS)

    def end(self) -> None:
        """Remove the file: the worker ends."""
        self._ended.set()
        self.join(SIGN_INTERVAL_SECONDS)
        self._path.unlink(missing_ok=True)

    def _touch(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            self._is_written = True
        except OSError as error:
            if self._is_written:
                logger.error(
                    "the worker's sign of life cannot be written, and a probe that reads it fails: "
                    "%s. Set WORKER_LIFE_FILE to a file in a folder that can be written",
                    error,
                )
            self._is_written = False
