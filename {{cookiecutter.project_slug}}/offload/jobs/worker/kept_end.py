"""How a job has ended, kept until file storage and the database have taken it."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.files.storage import default_storage
from django.db import IntegrityError

from offload.jobs import transitions
from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK
from offload.jobs.models import Job
from offload.jobs.worker.spool import SpooledEnd

logger = logging.getLogger("offload.jobs")

# Seconds between the tries to store a large result, and all tries together. After them the job is
# started again: storage that refuses for so long may be full or wrongly configured.
STORAGE_RETRY_SECONDS = 2.0
STORAGE_TIMEOUT_SECONDS = 60.0


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

    def _delete(self, file: str) -> None:
        try:
            default_storage.delete(file)
        except Exception:
            logger.warning("the result %s of no job is left in file storage", file, exc_info=True)


def kept_end(job: Job, spooled: SpooledEnd) -> KeptEnd:
    """The end that was put into the spool.

    Args:
        job: its row, which still has the same token.
    """
    if spooled.transition == "succeed":
        return KeptResult(job, **spooled.values)
    return KeptEnd(job, spooled.transition, **spooled.values)
