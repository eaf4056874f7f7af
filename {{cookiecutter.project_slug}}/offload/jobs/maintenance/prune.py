"""Deletes expired jobs, the files of deleted jobs, and the rows of workers that ended long ago.

A job's row is deleted first, and its files afterwards, by a thread of their own: a storage that is
slow or refuses delays nothing and keeps no row.
"""

import logging
import threading
import time

from django.core.files.storage import default_storage
from django.db.models.functions import Now

from offload.jobs.by_hand import DELETE_BATCH_ROWS, delete_batch
from offload.jobs.database import FORK_LOCK
from offload.jobs.models import Job, ResultFile, RunLimitKey, Worker
from offload.jobs.row_states import from_now
from offload.jobs.transactions import bounded_transaction

logger = logging.getLogger("offload.jobs")

# Seconds between two runs, and between two runs where more is left to delete.
PRUNE_INTERVAL_SECONDS = 60.0
PRUNE_BACKLOG_INTERVAL_SECONDS = 1.0
# Seconds that one run deletes batches for.
PRUNE_RUN_SECONDS = 1.0
# Seconds after which the row of a silent worker is deleted: a day.
WORKER_ROW_LIFETIME_SECONDS = 86_400.0
# Seconds after which the row of an unused limit's key is deleted: longer than any limit's period.
LIMIT_KEY_LIFETIME_SECONDS = 2 * 86_400.0


class Prune:
    """The duty: delete batches of what has expired, for a second in every minute."""

    def __init__(self) -> None:
        self._next_run = 0.0
        self._files = FileDeleter()

    def run(self) -> None:
        """Delete for a second, if a minute has passed, or if the last run left something over."""
        now = time.monotonic()
        if now < self._next_run:
            return
        # Also where this run fails: the next try is in a minute, not in a second.
        self._next_run = now + PRUNE_INTERVAL_SECONDS

        full = True
        while full and time.monotonic() - now < PRUNE_RUN_SECONDS:
            # Other threads of this process use the database between two batches.
            with FORK_LOCK:
                full = _delete_batch() == DELETE_BATCH_ROWS

        with FORK_LOCK:
            Worker.objects.filter(seen_at__lt=from_now(-WORKER_ROW_LIFETIME_SECONDS)).delete()
            _delete_unused_keys()
            files_left = self._delete_files()

        if full or files_left:
            self._next_run = time.monotonic() + PRUNE_BACKLOG_INTERVAL_SECONDS

    def _delete_files(self) -> bool:
        """Forget the files that are deleted, and have the next ones deleted.

        Returns:
            Whether files are left that have not been tried.
        """
        ResultFile.objects.filter(name__in=self._files.take_deleted()).delete()
        if self._files.is_busy():
            return True

        orphans = ResultFile.objects.filter(job=None, name__gt=self._files.last_name)
        names = list(orphans.order_by("name").values_list("name", flat=True)[:DELETE_BATCH_ROWS])
        self._files.delete(names)
        return bool(names)


def _delete_unused_keys() -> None:
    unused = RunLimitKey.objects.filter(used_at__lt=from_now(-LIMIT_KEY_LIFETIME_SECONDS))
    keys = list(unused.values_list("key", flat=True)[:DELETE_BATCH_ROWS])
    RunLimitKey.objects.filter(key__in=keys).delete()


def _delete_batch() -> int:
    """Delete expired jobs and their parts, at most `DELETE_BATCH_ROWS` rows. Returns how many."""
    with bounded_transaction():
        expired = Job.objects.filter(expires_at__lt=Now(), expires_at__isnull=False, parent=None)
        unlocked = expired.select_for_update(skip_locked=True).order_by("expires_at")
        return delete_batch(list(unlocked.values_list("pk", flat=True)[:DELETE_BATCH_ROWS]))


class FileDeleter:
    """Deletes one list of files at a time from storage, in a thread of its own, without a database.

    A delete on S3 takes some 50 ms, and on a storage that does not answer as long as its client
    waits. The relay's thread must not wait for it, and it must not happen under `FORK_LOCK`.
    """

    def __init__(self) -> None:
        # The last file of the last list. A list that begins behind it tries other files, so that
        # those that cannot be deleted hold up no others.
        self.last_name = ""
        self._thread: threading.Thread | None = None
        self._deleted: list[str] = []
        # How deletes failed in this round through all files, and in the one before.
        self._failures: set[type[Exception]] = set()
        self._failures_before: set[type[Exception]] = set()

    def is_busy(self) -> bool:
        """Whether files are being deleted."""
        return self._thread is not None and self._thread.is_alive()

    def delete(self, names: list[str]) -> None:
        """Begin to delete these files. An empty list makes the next one begin at the front."""
        self.last_name = names[-1] if names else ""
        if not names:
            self._failures_before, self._failures = self._failures, set()
        else:
            self._thread = threading.Thread(
                target=self._run, args=(names,), name="offload-file-deleter", daemon=True
            )
            self._thread.start()

    def take_deleted(self) -> list[str]:
        """The files that were deleted since the last call."""
        deleted, self._deleted = self._deleted, []
        return deleted

    def _run(self, names: list[str]) -> None:
        for name in names:
            try:
                default_storage.delete(name)
            except Exception as error:  # noqa: BLE001 - logged in `_report`
                self._report(name, type(error))
            else:
                self._deleted.append(name)

    def _report(self, name: str, failure: type[Exception]) -> None:
        """Log the first file of each kind of error. A storage may refuse 100,000, every minute."""
        if failure not in self._failures | self._failures_before:
            logger.exception(
                "the stored result %s cannot be deleted, and maybe others; their jobs are deleted "
                "already. Check the permissions of file storage; the deletes are tried again every "
                "minute, without a further line about this error until a round is without it",
                name,
            )
        self._failures.add(failure)
