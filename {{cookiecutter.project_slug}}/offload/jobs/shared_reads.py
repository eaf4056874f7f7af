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
        self._running: dict[tuple[UUID, int], asyncio.Task[Job | None]] = {}

    async def whole(self, seen: Job) -> Job | None:
        """A job's whole row, at least as new as the one that the caller has seen.

        None where it was deleted.
        """
        key = seen.pk, seen.version
        reading = self._running.get(key)
        if reading is None:
            # Not in the caller's context: the read would take the request thread of the caller, who
            # may leave before it ends.
            work = sync_to_async(_read)(seen.pk)
            reading = self._running[key] = asyncio.create_task(work, context=Context())
            reading.add_done_callback(lambda done: self._forget(key, done))
        try:
            return await asyncio.shield(reading)
        finally:
            # Its error leads to this frame, and by this one to the request that waits.
            del reading

    def _forget(self, key: tuple[UUID, int], done: "asyncio.Task[Job | None]") -> None:
        del self._running[key]
        if not done.cancelled():
            # Read here, since all callers may have left: else asyncio logs it.
            done.exception()


def _read(job_id: UUID) -> Job | None:
    try:
        return retry_conflicts(lambda: Job.objects.filter(pk=job_id).first())
    except DATABASE_ERRORS:
        # The next read needs another connection.
        connections.close_all()
        raise
