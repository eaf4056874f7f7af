"""Reads the rows of jobs that have just ended: one query for all who wait for the same job."""

import asyncio
from contextvars import Context
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections

from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.models import Job
from offload.jobs.transactions import retry_conflicts


class SharedReads:
    """When a job ends, each of its long polls wants the row with the result, at the same moment.

    If each had a query of its own, a thousand of them would wait for the connections of this
    process's requests, and most would be answered 503. It is used on the event loop alone.
    """

    def __init__(self) -> None:
        # By the job's id and the version that the callers know of.
        self._running: dict[tuple[UUID, int], asyncio.Task[Job | Exception | None]] = {}

    async def whole(self, seen: Job) -> Job | None:
        """A job's whole row, at least as new as the one that the caller has seen.

        None where it was deleted. Raises one of `DATABASE_ERRORS`.
        """
        key = seen.pk, seen.version
        reading = self._running.get(key)
        if reading is None:
            # Not in the caller's context: the read would take the request thread of the caller, who
            # may leave before it ends.
            work = sync_to_async(_read)(seen.pk)
            reading = self._running[key] = asyncio.create_task(work, context=Context())
            reading.add_done_callback(lambda done: self._forget(key, done))
        found = await asyncio.shield(reading)
        if isinstance(found, Exception):
            # Each caller raises an error of its own: that of another one leads to its request.
            raise type(found)(*found.args) from found.__cause__
        return found

    def _forget(self, key: tuple[UUID, int], done: "asyncio.Task[Job | Exception | None]") -> None:
        del self._running[key]
        if not done.cancelled():
            # Read here, since all callers may have left: else asyncio logs it.
            done.exception()


def _read(job_id: UUID) -> Job | Exception | None:
    """The row, or the error of the database. asgiref would keep an error that is raised here."""
    try:
        return retry_conflicts(lambda: Job.objects.filter(pk=job_id).first())
    except DATABASE_ERRORS as error:
        # The next read needs another connection.
        connections.close_all()
        return error.with_traceback(None)
