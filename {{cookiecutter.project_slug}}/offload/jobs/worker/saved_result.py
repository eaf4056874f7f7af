"""The end of a job that saves rows: the rows and the end are in one transaction."""

from collections.abc import Callable

from django.db import DatabaseError, connection

from offload.jobs.database import CONNECTION_ERRORS
from offload.jobs.limits import Limits
from offload.jobs.models import Job
from offload.jobs.row_states import held
from offload.jobs.transactions import in_transaction
from offload.jobs.worker.assignments import Slot
from offload.jobs.worker.kept_end import KeptResult

# How often `save` is called while the database answers, if it raises an error of the connection: an
# outage has begun meanwhile, or another transaction is in its way. After so many calls the error is
# `save`'s own, such as a missing table on SQLite.
MAX_SAVE_CALLS = 5


class SaveFailed(Exception):
    """`save` raised an error, its `__cause__`. Nothing of it is in the database."""


class SavedResult:
    """It is called until the database takes the rows and the end, as any other end.

    It is in no spool: where its process ends during an outage, the job is computed again. Another
    process would have to call `save`, and would keep its leases waiting meanwhile.

    Args:
        kept: the end without the rows.
        save: saves the rows.
        job: the row as it was claimed.
        slot: `save` is ended at the time limits of the job's function, and by a cancel.
    """

    def __init__(
        self, kept: KeptResult, save: Callable[[], None], job: Job, limits: Limits, slot: Slot
    ) -> None:
        self._kept = kept
        self._save = save
        self._job = job
        self._limits = limits
        self._slot = slot
        self._calls = 0

    def __call__(self) -> Job | None:
        """Save, and write the end. Returns the new row; None where the lease was lost.

        Raises:
            SaveFailed: `save` raised an error.
            Exception: what file storage raised for a minute, or the database's error.
        """
        # File storage first: no transaction is open meanwhile.
        self._kept.prepare()
        try:
            return in_transaction(self._save_and_end)
        except CONNECTION_ERRORS:
            raise
        except DatabaseError as error:
            # Foreign keys are checked at the COMMIT.
            raise SaveFailed from error

    def _save_and_end(self) -> Job | None:
        # It shows an outage before `save` is called, and spares a worker that lost its lease from
        # it. The UPDATE at the end decides: the row is locked for that one statement.
        if not Job.objects.filter(held(self._job.token), pk=self._job.pk).exists():
            return None

        self._calls += 1
        self._slot.computing(self._job, self._limits)
        try:
            self._call_save()
        finally:
            self._slot.writing(self._job)

        ended = self._kept()
        if ended is None:
            connection.set_rollback(True)
        return ended

    def _call_save(self) -> None:
        try:
            self._save()
        except CONNECTION_ERRORS as error:
            if self._calls < MAX_SAVE_CALLS:
                raise
            raise SaveFailed from error
        # sys.exit() and MemoryError, too, are failures of the job, not of the worker.
        except BaseException as error:
            raise SaveFailed from error
