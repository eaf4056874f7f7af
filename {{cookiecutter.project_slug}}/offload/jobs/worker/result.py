"""A finished job's result, kept until file storage and database have it."""

import logging
import time
from typing import Any

from django.core.files.storage import default_storage

from offload.jobs import transitions
from offload.jobs.models import Job

log = logging.getLogger("offload.jobs")

# Seconds between the tries to store a large result, and all tries together. After them the job is
# started again: storage that refuses for so long may be full or wrongly configured.
STORAGE_RETRY_SECONDS = 2.0
STORAGE_PATIENCE_SECONDS = 60.0


class KeptResult:
    """The end of a job that succeeded. `write` is called until the database takes it.

    Args:
        job: the row as it was claimed.
        document: the result's JSON.
    """

    def __init__(self, job: Job, document: str) -> None:
        self._job = job
        self._document = document
        self._stored: tuple[Any, str] | None = None

    def write(self) -> Job | None:
        """running → succeeded. Returns the new row; None where the lease was lost.

        Raises:
            Exception: what file storage raised for a minute, or the database's error.
        """
        if self._stored is None:
            self._stored = self._store()
            self._document = ""

        inline, file = self._stored
        ended = transitions.succeed(self._job, inline, file)
        if ended is None and file:
            self._delete(file)
        return ended

    def _store(self) -> tuple[Any, str]:
        deadline = time.monotonic() + STORAGE_PATIENCE_SECONDS
        while True:
            try:
                return self._job.store_result(self._document, self._announce)
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
        transitions.announce_file(self._job, file)

    def _delete(self, file: str) -> None:
        try:
            default_storage.delete(file)
        except Exception:
            log.warning("the result %s of no job is left in file storage", file, exc_info=True)
