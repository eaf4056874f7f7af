"""The jobs that one WebSocket watches, and which of them have changed since they were sent."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

from offload.jobs.models import Job
from offload.jobs.notifier import Changes, Notifier


@dataclass(eq=False)
class Subscription:
    """One job of a WebSocket.

    Attributes:
        job: its row, as it was last sent.
        seen: the version that the client has.
        watch: leaves the notifier when it is closed.
    """

    job: Job
    seen: int
    watch: AsyncExitStack


class Subscriptions:
    """What waits to be sent to one client: for each job at most its newest state.

    So nothing grows while a client reads slowly. Several changes in between are one.

    Args:
        notifier: of the process.
        owner: whose places the subscriptions take.
    """

    def __init__(self, notifier: Notifier, owner: str) -> None:
        self._notifier = notifier
        self._owner = owner
        self._open: dict[UUID, Subscription] = {}
        # In the order of their changes.
        self._changed: dict[UUID, None] = {}
        self._woken = asyncio.Event()

    async def add(self, job: Job, seen: int) -> None:
        """Watch a job, or send again what came after `seen`.

        Raises:
            Problem: 429, the owner has no place left.
        """
        known = self._open.get(job.pk)
        if known is not None:
            known.seen = seen
            return

        async with AsyncExitStack() as watch:
            changes = _JobChanges(self, job.pk)
            await watch.enter_async_context(self._notifier.watch(job.pk, self._owner, changes))
            self._open[job.pk] = Subscription(job, seen, watch.pop_all())

    async def remove(self, job_id: UUID) -> None:
        """Watch a job no more."""
        found = self._open.pop(job_id, None)
        self._changed.pop(job_id, None)
        if found is not None:
            await found.watch.aclose()

    async def close(self) -> None:
        """Watch nothing more."""
        for job_id in tuple(self._open):
            await self.remove(job_id)

    def mark(self, job_id: UUID) -> None:
        """The job may have changed."""
        self._changed[job_id] = None
        self.wake()

    def wake(self) -> None:
        """End the wait in `next_changed`."""
        self._woken.set()

    async def next_changed(self) -> Subscription | None:
        """Wait for the next job that has changed; None after a `wake`."""
        if not self._changed:
            await self._woken.wait()
        self._woken.clear()
        if not self._changed:
            return None
        job_id = next(iter(self._changed))
        del self._changed[job_id]
        return self._open.get(job_id)


class _JobChanges(Changes):
    """What the notifier wakes for one job."""

    def __init__(self, subscriptions: Subscriptions, job_id: UUID) -> None:
        super().__init__()
        self._subscriptions = subscriptions
        self._job_id = job_id

    def wake(self) -> None:
        self._subscriptions.mark(self._job_id)
