"""Writes into the database what processes of this host left in the spool."""

import logging
import math
import threading

from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK, close_connections
from offload.jobs.models import Job
from offload.jobs.row_states import held
from offload.jobs.services import services
from offload.jobs.transactions import bounded_transaction
from offload.jobs.worker.kept_end import KeptEnd, kept_end
from offload.jobs.worker.spool import Spool, SpooledEnd
from offload.jobs.worker.threads import starts
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two looks at the folder.
LOOK_INTERVAL_SECONDS = 1.0


class WriteSpooled(threading.Thread):
    """A thread in a worker's main process.

    It is not the supervisor's, because file storage may have to take a large result first, and
    leases do not wait for that. A thread of its own asks the storage: one that hangs keeps no small
    result in the spool.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__(name="offload-write-spooled", daemon=True)
        self._spool = spool
        self._stopping = threading.Event()
        # The last large result that file storage was to take.
        self._storing: _Storing | None = None

    def stop(self) -> None:
        """End at the next look."""
        self._stopping.set()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._stopping.is_set():
            try:
                self.write_all()
            except CONNECTION_ERRORS as error:
                # The supervisor logs the outage.
                logger.debug("the spool waits for the database: %s", error)
                close_connections()
            except Exception:
                logger.exception("the spool is not read, and tried again: this is a bug")
            self._stopping.wait(LOOK_INTERVAL_SECONDS)
        close_connections()

    def write_all(self, storage_seconds: float = math.inf) -> None:
        """Write every end whose process is gone, and delete its file.

        Args:
            storage_seconds: file storage is waited for so long at most, for each large result.

        Raises:
            OperationalError, InterfaceError: the database does not answer. The files stay.
        """
        for file in self._spool.unowned():
            try:
                self._write(file.read(), storage_seconds)
            except NotStored:
                file.release()
            except CONNECTION_ERRORS as error:
                file.release()
                # One locked row concerns no other.
                if not is_lock_conflict(error):
                    raise
            except Exception:
                logger.exception("a file of the spool is deleted, its job is started again")
                file.delete()
            else:
                file.delete()

    def _write(self, spooled: SpooledEnd, storage_seconds: float) -> None:
        with FORK_LOCK:
            rows = Job.objects.filter(held(spooled.token), pk=spooled.job_id)
            job = rows.defer(*Job.LARGE_FIELDS).first()
        if job is None:
            logger.info("job %s: its end in the spool counts no more: fenced", spooled.job_id)
            return

        end = kept_end(job, spooled)
        # File storage first, without the lock.
        if needed := end.storage_seconds():
            self._store(job, end, min(needed, storage_seconds))
        with FORK_LOCK:
            with bounded_transaction():
                ended = end()
            if ended is not None:
                services.start_what_waited_for(ended)
                logger.warning(
                    "job %s: %s, from the spool: its process ended during an outage",
                    job.pk,
                    ended.status,
                    extra=ended.log_fields(),
                )

    def _store(self, job: Job, end: KeptEnd, seconds: float) -> None:
        """Raises: NotStored: file storage hangs; Exception: as `KeptEnd.prepare`."""
        if self._storing is not None and self._storing.is_alive():
            raise NotStored
        storing = _Storing(end)
        if not starts(storing, otherwise="a large result stays in the spool"):
            raise NotStored

        self._storing = storing
        storing.join(seconds)
        if storing.is_alive():
            logger.warning(
                "job %s: file storage has not taken its result within %.0f s: it stays in the "
                "spool, with all other large ones, until the storage answers",
                job.pk,
                seconds,
                extra=job.log_fields(),
            )
            raise NotStored
        self._storing = None
        storing.raise_error()


class NotStored(Exception):
    """File storage has not taken a large result in time."""


class _Storing(threading.Thread):
    """Has file storage take one large result. Nothing ends a thread that hangs."""

    def __init__(self, end: KeptEnd) -> None:
        super().__init__(name="offload-store-spooled", daemon=True)
        self._error: Exception | None = None
        self._end: KeptEnd | None = end

    def run(self) -> None:
        end, self._end = self._end, None
        assert end is not None
        try:
            end.prepare()
        except Exception as error:  # noqa: BLE001 - raised in the thread that waits
            self._error = error
        finally:
            close_connections()
            # The error leads to this frame.
            del self

    def raise_error(self) -> None:
        """Raise what file storage has raised, if anything. Called once."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            # It leads to this frame.
            del error
