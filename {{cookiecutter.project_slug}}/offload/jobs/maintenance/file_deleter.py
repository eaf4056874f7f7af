"""Deletes files from storage in a thread of its own.

A delete on S3 takes some 50 ms, and on a storage that does not answer as long as its client waits.
The relay's thread must not wait for it, and it must not happen under `FORK_LOCK`.
"""

import logging
import threading

from django.core.files.storage import default_storage

logger = logging.getLogger("offload.jobs")


class FileDeleter:
    """Deletes one list of files at a time, each in a `try` of its own. It uses no database."""

    def __init__(self) -> None:
        # The last file of the last list. A list that begins behind it tries other files, so that
        # those that cannot be deleted hold up no others.
        self.last_name = ""
        self._thread: threading.Thread | None = None
        self._deleted: list[str] = []
        self._reported: set[str] = set()

    def is_busy(self) -> bool:
        """Whether files are being deleted."""
        return self._thread is not None and self._thread.is_alive()

    def delete(self, names: list[str]) -> None:
        """Begin to delete these files. An empty list makes the next one begin at the front."""
        self.last_name = names[-1] if names else ""
        if names:
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
            except Exception:  # noqa: BLE001 - logged in `_report`
                self._report(name)
            else:
                self._deleted.append(name)

    def _report(self, name: str) -> None:
        """Log a file once, not in every round."""
        if name not in self._reported:
            self._reported.add(name)
            logger.exception(
                "the stored result %s cannot be deleted; its job is deleted already. Check the "
                "permissions of file storage; the delete is tried again every minute",
                name,
            )
