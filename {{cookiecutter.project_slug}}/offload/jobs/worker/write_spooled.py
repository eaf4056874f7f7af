"""Writes into the database what processes of this host left in the spool."""

import logging
import threading

from offload.jobs.database import CONNECTION_ERRORS, FORK_LOCK, close_connections
from offload.jobs.models import Job
from offload.jobs.row_states import held
from offload.jobs.transactions import bounded_transaction
from offload.jobs.worker.executor import start_what_waited_for
from offload.jobs.worker.kept_end import kept_end
from offload.jobs.worker.spool import Spool, SpooledEnd
from offload.postgresql.conflicts import is_lock_conflict

logger = logging.getLogger("offload.jobs")

# Seconds between two looks at the folder.
LOOK_INTERVAL_SECONDS = 1.0


class WriteSpooled(threading.Thread):
    """A thread in a worker's main process.

    It is not the supervisor's, because file storage may have to take a large result first, and
    leases do not wait for that.
    """

    def __init__(self, spool: Spool) -> None:
        super().__init__(name="offload-write-spooled", daemon=True)
        self._spool = spool
        self._stopping = threading.Event()

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

    def write_all(self) -> None:
        """Write every end whose process is gone, and delete its file.

        Raises:
            OperationalError, InterfaceError: the database does not answer. The files stay.
        """
        for file in self._spool.unowned():
            try:
                _write(file.read())
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


def _write(spooled: SpooledEnd) -> None:
    with FORK_LOCK:
        rows = Job.objects.filter(held(spooled.token), pk=spooled.job_id)
        job = rows.defer(*Job.LARGE_FIELDS).first()
    if job is None:
        logger.info("job %s: its end in the spool counts no more: fenced", spooled.job_id)
        return

    end = kept_end(job, spooled)
    # File storage first, without the lock.
    end.prepare()
    with FORK_LOCK:
        with bounded_transaction():
            ended = end()
        if ended is not None:
            start_what_waited_for(ended)
            logger.warning(
                "job %s: %s, from the spool: its process ended during an outage",
                job.pk,
                ended.status,
                extra=ended.log_fields(),
            )
