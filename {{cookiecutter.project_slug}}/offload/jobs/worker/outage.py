"""Keeps what a job has come to until file storage and the database have taken it."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from django.core.files.storage import default_storage
from django.db import IntegrityError, connections

from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.models import Job
from offload.jobs.worker.spool import SpooledEnd

log = logging.getLogger("offload.jobs")

T = TypeVar("T")

# Seconds between the tries of a write: the first wait, and the longest.
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
# Seconds between two log lines about one outage.
OUTAGE_LOG_INTERVAL_SECONDS = 60.0
# Seconds between the tries to store a large result, and all tries together. After them the job is
# started again: storage that refuses for so long may be full or wrongly configured.
STORAGE_RETRY_SECONDS = 2.0
STORAGE_PATIENCE_SECONDS = 60.0


def retry_while_database_is_down(
    write: Callable[[], T | None], written: Callable[[], T | None]
) -> T | None:
    """Call `write` until the database answers, however long that takes.

    What is to be written waits in this process's memory, and after a second in the spool, too
    (`spooler.py`). The wait ends with the outage, or with the process: the worker's main process
    kills it at shutdown.

    Args:
        write: one fenced transition.
        written: its row, where an earlier try was committed and only the answer was lost; None
            where it was not. Read before every try but the first.

    Returns:
        What `write` returned, or the row that `written` found.

    Raises:
        DatabaseError: the database refuses the statement itself. A further try would not help.
    """
    waits, tries, logged_at = _waits(), 0, 0.0
    while True:
        try:
            found = written() if tries else None
            return found if found is not None else write()
        except CONNECTION_ERRORS as error:
            tries += 1
            if not logged_at or time.monotonic() - logged_at > OUTAGE_LOG_INTERVAL_SECONDS:
                logged_at = time.monotonic()
                log.warning(
                    "the database does not answer (try %s); this process keeps what it has to "
                    "write and tries until the database answers: %s",
                    tries,
                    error,
                )
            _close_connections()
            time.sleep(next(waits))


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

    def to_spool(self) -> SpooledEnd:
        """What `kept_end` reads."""
        return SpooledEnd(str(self._job.pk), self._job.token, self._transition, self._values)


class KeptResult(KeptEnd):
    """The end of a job that succeeded.

    Args:
        job: the row as it was claimed.
        document: the result's JSON.
        file: its name in file storage, where that has taken it already.
    """

    def __init__(self, job: Job, document: str = "", file: str = "") -> None:
        super().__init__(job, "succeed")
        self._document = document
        self._stored: tuple[Any, str] | None = (None, file) if file else None

    def __call__(self) -> Job | None:
        """running → succeeded. Returns the new row; None where the lease was lost.

        Raises:
            Exception: what file storage raised for a minute, or the database's error.
        """
        self.prepare()
        assert self._stored is not None
        inline, file = self._stored
        ended = transitions.succeed(self._job, inline, file)
        if ended is None and file:
            self._delete(file)
        return ended

    def prepare(self) -> None:
        """Store a large result.

        Raises:
            Exception: what file storage raised for a minute, or the database's error.
        """
        if self._stored is None:
            self._stored = self._store()
            if self._stored[1]:
                self._document = ""

    def to_spool(self) -> SpooledEnd:
        """The document, or the name of its file."""
        document, stored = self._document, self._stored
        file = {"file": stored[1]} if stored is not None and stored[1] else None
        values = file or {"document": document}
        return SpooledEnd(str(self._job.pk), self._job.token, self._transition, values)

    def _store(self) -> tuple[Any, str]:
        deadline = time.monotonic() + STORAGE_PATIENCE_SECONDS
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
                log.warning(
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

    def _delete(self, file: str) -> None:
        try:
            default_storage.delete(file)
        except Exception:
            log.warning("the result %s of no job is left in file storage", file, exc_info=True)


def kept_end(job: Job, spooled: SpooledEnd) -> KeptEnd:
    """The end that was put into the spool.

    Args:
        job: its row, which still has the same token.
    """
    if spooled.transition == "succeed":
        return KeptResult(job, **spooled.values)
    return KeptEnd(job, spooled.transition, **spooled.values)


def _waits() -> Iterator[float]:
    wait = FIRST_RETRY_SECONDS
    while True:
        yield wait
        wait = min(wait * 2, LONGEST_RETRY_SECONDS)


def _close_connections() -> None:
    try:
        connections.close_all()
    except CONNECTION_ERRORS:
        log.debug("closing a broken connection failed", exc_info=True)
