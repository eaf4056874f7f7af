"""Tells the watchers of a job that it has changed, through Redis pub/sub.

Each web process has one subscription. An event may be lost, because the row is the truth. Without
Redis the notifier reads the watched rows instead. A lost event costs `REREAD_INTERVAL_SECONDS`.
"""

import asyncio
import contextlib
import copy
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import redis.asyncio
from asgiref.sync import sync_to_async
from django.db import connections
from pydantic import ValidationError

from offload.conf import conf
from offload.jobs import metrics
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.events import Event, channel, is_genuine
from offload.jobs.models import Job
from offload.jobs.shared_reads import SharedReads
from offload.jobs.transactions import retry_conflicts
from offload.postgresql.conflicts import why_refused
from offload.problems import Problem
from offload.redis_answers import strict_answers
from offload.serving import release
from offload.validation_faults import faults_of

logger = logging.getLogger("offload.jobs")

# Seconds between two reads of the watched rows while events arrive, and while Redis is down.
REREAD_INTERVAL_SECONDS = 5.0
OUTAGE_REREAD_INTERVAL_SECONDS = 1.0
# Seconds that Redis may take for the answer to a PING. Frozen, it answers nothing, and its kernel
# keeps the connection.
PING_TIMEOUT_SECONDS = 5.0
# Seconds before a part of the notifier that failed starts again.
RESTART_PAUSE_SECONDS = 1.0
# What a watcher over `conf().streams_per_owner` is told to wait: one of the others may have ended.
STREAMS_RETRY_AFTER_SECONDS = 5


class Changes:
    """What one watcher waits for. Several changes in between are one."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """End the watcher's wait, now or when it begins."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait for a change after the last one."""
        await self._changed.wait()
        self._changed.clear()


class Notifier:
    """Notifies all watchers of one web process, from one subscription.

    Attributes:
        reads: the rows of jobs that have ended, for those who waited for them.
    """

    def __init__(self) -> None:
        self.reads = SharedReads()
        self._watchers: defaultdict[UUID, set[Changes]] = defaultdict(set)
        self._by_owner: Counter[str] = Counter()
        self._open_streams = 0
        self._rows: dict[UUID, Job] = {}
        self._expired: set[UUID] = set()
        self._reported_malformed = False
        self._set_subscribed(False)

    def _set_subscribed(self, subscribed: bool) -> None:
        # Whether events arrive. If not, the watched rows are read once a second.
        self.subscribed = subscribed
        metrics.SUBSCRIBED.set(subscribed)

    @contextlib.asynccontextmanager
    async def watch(
        self, job_id: UUID, owner: str, changes: Changes | None = None
    ) -> AsyncIterator[Changes]:
        """Be told of a job's changes; `newest` has its row.

        Args:
            job_id: the job's.
            owner: whose place the watcher takes.
            changes: what is woken; a new one by default.

        Raises:
            Problem: 429, the owner watches `conf().streams_per_owner` jobs already.
        """
        changes = changes or Changes()
        with self.place(owner):
            self._watchers[job_id].add(changes)
            try:
                # The job may have changed after the watcher read its row and before it was added.
                if job_id not in self._rows:
                    await self._refresh([job_id])

                # The read took a thread with its database connection. A watcher may wait for hours.
                await release()
                yield changes
            finally:
                self._watchers[job_id].discard(changes)
                if not self._watchers[job_id]:
                    del self._watchers[job_id]
                    self._rows.pop(job_id, None)
                    self._expired.discard(job_id)

    @contextlib.contextmanager
    def place(self, owner: str) -> Iterator[None]:
        """One of the owner's places, for a watcher or a WebSocket.

        Raises:
            Problem: 429, the owner has `conf().streams_per_owner` already.
        """
        limit = conf().streams_per_owner
        if self._by_owner[owner] >= limit:
            raise Problem(
                429,
                f"{limit} of your streams and waits are open in this process, which is the limit: "
                f"close one, or read GET /api/jobs now and then",
                headers={"Retry-After": str(STREAMS_RETRY_AFTER_SECONDS)},
            )

        self._by_owner[owner] += 1
        try:
            yield
        finally:
            self._by_owner[owner] -= 1
            if not self._by_owner[owner]:
                del self._by_owner[owner]

    @contextlib.contextmanager
    def stream(self) -> Iterator[int]:
        """Count an event stream as long as it is open. Gives how many there are with it."""
        self._open_streams += 1
        try:
            yield self._open_streams
        finally:
            self._open_streams -= 1

    def newest(self, job: Job) -> Job:
        """The newest row of a watched job that this process has seen, or the given one."""
        known = self._rows.get(job.pk)
        return known if known is not None and known.version > job.version else job

    def has_expired(self, job_id: UUID) -> bool:
        """Whether the row of a watched job was deleted."""
        return job_id in self._expired

    async def run(self) -> None:
        """Run until cancelled: listen to events, and read the watched rows again and again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._restarting(self._listen))
            group.create_task(self._restarting(self._reread))

    async def _restarting(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one part of the notifier for ever. An error in it harms neither it nor the other."""
        while True:
            try:
                await work()
            except Exception:
                metrics.RESTARTS.inc()
                logger.exception(
                    "the notifier of event streams failed and starts again in %g s; streams get "
                    "their changes later meanwhile: this is a bug",
                    RESTART_PAUSE_SECONDS,
                )
            await asyncio.sleep(RESTART_PAUSE_SECONDS)

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(
                REREAD_INTERVAL_SECONDS if self.subscribed else OUTAGE_REREAD_INTERVAL_SECONDS
            )
            await self._refresh(list(self._watchers))

    async def _listen(self) -> None:
        while True:
            client = redis.asyncio.Redis.from_url(
                conf().redis_url, socket_connect_timeout=1.0, socket_timeout=PING_TIMEOUT_SECONDS
            )
            try:
                async with client, client.pubsub() as subscription:
                    await self._receive(subscription)
            except (redis.RedisError, OSError) as error:
                if self.subscribed:
                    logger.warning(
                        "Redis does not answer, events are lost; watched rows are read every "
                        "second: %s",
                        error,
                    )
                self._set_subscribed(False)
                await asyncio.sleep(OUTAGE_REREAD_INTERVAL_SECONDS)

    async def _receive(self, subscription: Any) -> None:
        """Handle every event, until Redis fails.

        It is asked in each silent second. The `health_check_interval` of redis-py asks, too, but
        does not wait for the answer. Silent seconds are counted: by the clock, Redis would be
        blamed for a time in which this process itself stood still and its answer was not read.
        """
        with strict_answers():
            await subscription.subscribe(channel())
        is_asked, silent_seconds = True, 0.0
        while True:
            with strict_answers():
                message = await subscription.get_message(timeout=OUTAGE_REREAD_INTERVAL_SECONDS)
                kind, data = (message["type"], message["data"]) if message else ("", b"")
            silent_seconds += OUTAGE_REREAD_INTERVAL_SECONDS
            if message:
                is_asked = False
            elif not is_asked:
                await subscription.ping()
                is_asked, silent_seconds = True, 0.0
            elif silent_seconds > PING_TIMEOUT_SECONDS:
                raise redis.TimeoutError(f"no answer to a PING in {PING_TIMEOUT_SECONDS:g} s")

            if kind == "subscribe":
                self._set_subscribed(True)
            elif kind == "message":
                await self._on_message(data)

    async def _on_message(self, data: bytes) -> None:
        """Handle one message, and pass over one that is no event of this service.

        Another service may share this Redis, and another version of this one may send more. Only
        what somebody here waits for is checked further: each process reads the events of all.
        """
        try:
            event = Event.model_validate_json(data)
        except ValidationError as error:
            self._pass_over(faults_of(error))
            return

        if event.id not in self._watchers:
            return
        if is_genuine(vars(event)):
            await self._on_event(event)
        else:
            self._pass_over("its signature is not of this service's SECRET_KEY")

    def _pass_over(self, fault: str) -> None:
        """Count a message that is no event, and log the first one."""
        metrics.MALFORMED_EVENTS.inc()
        if not self._reported_malformed:
            self._reported_malformed = True
            logger.warning(
                "a message on the channel %s is no event and is ignored, as all further ones "
                "are; see offload_jobs_malformed_events_total. Does another service use the "
                "same events_prefix, or an older version of this one run? %s",
                channel(),
                fault,
            )

    async def _on_event(self, event: Event) -> None:
        """Keep what is new, and wake the watchers.

        Two cases:
        1. Its state is new: the row is read, for only the row has start, result and error.
        2. Its progress is new: the event says all.
        """
        known = self._rows.get(event.id)
        if known is None or event.status != known.status:
            await self._refresh([event.id])
        elif event.version > known.version:
            # A copy, because watchers hold the old row to compare with.
            newer = copy.copy(known)
            newer.version, newer.progress = event.version, event.progress
            newer.message = event.message
            self._rows[event.id] = newer
            self._wake_watchers(event.id)

    async def _refresh(self, job_ids: Iterable[UUID]) -> None:
        wanted = set(job_ids)
        if not wanted:
            return

        rows = await sync_to_async(_read_rows)(list(wanted))
        if rows is None:
            return

        for row in rows:
            known = self._rows.get(row.pk)
            if row.pk in self._watchers and (known is None or row.version > known.version):
                self._rows[row.pk] = row
                self._wake_watchers(row.pk)

        for job_id in wanted.difference(row.pk for row in rows):
            if job_id in self._watchers:
                self._expired.add(job_id)
                self._wake_watchers(job_id)

    def _wake_watchers(self, job_id: UUID) -> None:
        for changes in self._watchers[job_id]:
            changes.wake()


def _read_rows(job_ids: list[UUID]) -> list[Job] | None:
    """The rows, without their large fields; None where the database does not answer."""
    rows = Job.objects.filter(pk__in=job_ids).defer(*Job.LARGE_FIELDS)
    try:
        return retry_conflicts(lambda: list(rows.all()))
    except DATABASE_ERRORS as error:
        connections.close_all()
        logger.warning("%s, watched jobs are not read: %s", why_refused(error), error)
        return None
