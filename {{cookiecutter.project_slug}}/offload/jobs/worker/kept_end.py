"""How a job has ended, kept until file storage and the database have taken it.

It is kept in the memory of the process that has run the job, and by the `Spooler` on a disk.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.db import IntegrityError

from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.models import Job
from offload.jobs.worker.assignments import Slot
from offload.jobs.worker.spool import Spool, SpooledEnd, SpoolFile
from offload.jobs.worker.threads import starts

logger = logging.getLogger("offload.jobs")

# Seconds between the tries to store a large result, and all tries together. After them the job is
# started again: storage that refuses for so long may be full or wrongly configured.
STORAGE_RETRY_SECONDS = 2.0
STORAGE_TIMEOUT_SECONDS = 60.0
# Bytes in a second that storage takes at the least. One that says nothing for the time of the tries
# and of this rate hangs, and its process is killed.
STORAGE_BYTES_PER_SECOND = 1_000_000
# Seconds that an end is kept in memory alone.
SPOOL_AFTER_SECONDS = 1.0
# Seconds between two looks at the end.
SPOOL_INTERVAL_SECONDS = 0.5


class KeptEnd:
    """How a job has ended. It is called until the database takes it.

    Args:
        job: the row as it was claimed.
        transition: the name of a function in `transitions.py`.
        values: its further arguments, as JSON data.
    """

    def __init__(self, job: Job, transition: str, **values: Any) -> None:
        self._job = job
        self._transition = transition
        self._values = values

    def __call__(self) -> Job | None:
        """Write the transition. Returns the new row; None where the lease was lost."""
        write: Callable[..., Job | None] = getattr(transitions, self._transition)
        return write(self._job, **self._values)

    def prepare(self) -> None:
        """Do what comes before the transition, and needs file storage."""

    def storage_seconds(self) -> float:
        """How long `prepare` may wait for file storage; 0 where it needs none."""
        return 0.0

    def to_spool(self) -> SpooledEnd:
        """What `kept_end` reads."""
        return SpooledEnd(str(self._job.pk), self._job.token, self._transition, self._values)


class KeptResult(KeptEnd):
    """The end of a job that succeeded.

    Args:
        job: the row as it was claimed.
        document: the result's JSON.
        file: its name in file storage, where that has taken it already.
        slot: the record of the process that computed it, so that it is killed where storage hangs.
            None in a worker's main process.
    """

    def __init__(
        self, job: Job, document: str = "", file: str = "", slot: Slot | None = None
    ) -> None:
        super().__init__(job, "succeed")
        self._document = document
        self._slot = slot
        self._stored: tuple[Any, str] | None = (None, file) if file else None

    def __call__(self) -> Job | None:
        """running → succeeded. Returns the new row; None where the lease was lost.

        Raises:
            Exception: what file storage raised for a minute, or the database's error.
        """
        self.prepare()
        assert self._stored is not None
        # Where the lease was lost, the file is deleted with its job: storage may hang, and locks of
        # the database may be held here.
        return transitions.succeed(self._job, *self._stored)

    def prepare(self) -> None:
        """Store a large result.

        Raises:
            Exception: what file storage raised for a minute, or the database's error.
        """
        if self._stored is None:
            self._stored = self._store_in_time()
            if self._stored[1]:
                self._document = ""

    def storage_seconds(self) -> float:
        """How long storage may take for a large result; 0 where the row takes the result."""
        if self._stored is not None or Job.takes_result(self._document):
            return 0.0
        return STORAGE_TIMEOUT_SECONDS + len(self._document) / STORAGE_BYTES_PER_SECOND

    def to_spool(self) -> SpooledEnd:
        """The document, or the name of its file."""
        document, stored = self._document, self._stored
        file = {"file": stored[1]} if stored is not None and stored[1] else None
        values = file or {"document": document}
        return SpooledEnd(str(self._job.pk), self._job.token, self._transition, values)

    def _store_in_time(self) -> tuple[Any, str]:
        seconds = self.storage_seconds()
        if not seconds or self._slot is None:
            return self._store()

        # One try more than `_store` makes: storage that refuses is told from one that hangs.
        self._slot.in_storage(self._job, seconds + STORAGE_RETRY_SECONDS)
        try:
            return self._store()
        finally:
            self._slot.writing(self._job)

    def _store(self) -> tuple[Any, str]:
        deadline = time.monotonic() + STORAGE_TIMEOUT_SECONDS
        while True:
            try:
                return self._job.store_result(self._document, self._announce)
            except IntegrityError:
                # The row is gone: the job was discarded. Its end will find no row.
                return None, ""
            except CONNECTION_ERRORS:
                raise
            except Exception as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning(
                    "job %s: file storage does not take its result; trying again in %.0f s: %s",
                    self._job.pk,
                    STORAGE_RETRY_SECONDS,
                    error,
                    extra=self._job.log_fields(),
                )
                time.sleep(STORAGE_RETRY_SECONDS)

    def _announce(self, file: str) -> None:
        """Note the file before it is written, so that it is deleted with the job."""
        with FORK_LOCK:
            transitions.announce_file(self._job, file)


def kept_end(job: Job, spooled: SpooledEnd) -> KeptEnd:
    """The end that was put into the spool.

    Args:
        job: its row, which still has the same token.
    """
    if spooled.transition == "succeed":
        return KeptResult(job, **spooled.values)
    return KeptEnd(job, spooled.transition, **spooled.values)


class Spooler:
    """Puts the end that this process holds into the spool, if the database does not take it soon.

    A thread looks at it, because the process may wait inside a database library, without an error:
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
