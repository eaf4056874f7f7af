"""Puts the end that a process holds into the spool, where the database does not take it soon."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from offload.jobs.worker.kept_end import KeptEnd
from offload.jobs.worker.spool import Spool, SpoolFile
from offload.jobs.worker.threads import starts

# Seconds that an end is kept in memory alone.
SPOOL_AFTER_SECONDS = 1.0
# Seconds between two looks at the end.
SPOOL_INTERVAL_SECONDS = 0.5


class Spooler:
    """The end that this process holds, and a thread that looks at it.

    The thread is needed because the process may wait inside a database library, without an error:
    for a frozen server, or for SQLite's lock. It looks again and again, because to wake it for each
    job would cost more. It is made before the pool forks, and begins with a process's first job.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._end: KeptEnd | None = None
        self._since = 0.0
        self._file: SpoolFile | None = None

    @contextlib.contextmanager
    def keeping(self, end: Any) -> Iterator[None]:
        """While the block runs, `end` is held. An end that is no `KeptEnd` is not worth a file.

        The file is deleted after the block: the database has taken the end, or has refused it.
        """
        self._since, self._end = time.monotonic(), end if isinstance(end, KeptEnd) else None
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="offload-spooler", daemon=True)
            # Where it does not start, the next end tries again.
            if starts(thread, otherwise="the end of a job is kept in memory alone"):
                self._thread = thread
        try:
            yield
        finally:
            with self._lock:
                self._end = None
                file, self._file = self._file, None
            if file is not None:
                file.delete()

    def _run(self) -> None:
        while True:
            time.sleep(SPOOL_INTERVAL_SECONDS)
            with self._lock:
                if self._end and time.monotonic() - self._since > SPOOL_AFTER_SECONDS:
                    self._file = self._spool.keep(self._end.to_spool())
                    # Once: a spool that is full is not asked again for this end.
                    self._end = None
