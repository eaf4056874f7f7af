"""Tells the watchers of a job that it has changed: Redis pub/sub, with one subscription in each web
process.

An event may be lost, because the row is the truth. Without Redis the notifier reads the watched
rows instead. A lost event costs a watcher at most `REREAD_INTERVAL_SECONDS`.
"""

import asyncio
import contextlib
import copy
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from offload.conf import conf
from offload.jobs.database import DATABASE_ERRORS
from offload.jobs.models import Job
from offload.serving import release

log = logging.getLogger("offload.jobs")

# Seconds between two reads of the watched rows while events arrive, and while Redis is down.
REREAD_INTERVAL_SECONDS = 5.0
OUTAGE_REREAD_INTERVAL_SECONDS = 1.0
# Seconds without another try after Redis failed, so that a dead Redis does not slow every report.
PUBLISH_PAUSE_SECONDS = 5.0


def _channel() -> str:
    return f"{conf().events_prefix}:jobs"


class EventPublisher:
    """Sends events, from any process and thread."""

    def __init__(self) -> None:
        self._redis: redis.Redis | None = None
        self._paused_until = 0.0

    def publish(self, job: Job) -> None:
        """Tell the watchers of `job`, if Redis is there.

        It never raises, and blocks for half a second at most.
        """
        if time.monotonic() < self._paused_until:
            return

        try:
            self._connected().publish(_channel(), json.dumps(job.snapshot()))
        except redis.RedisError as error:
            self._paused_until = time.monotonic() + PUBLISH_PAUSE_SECONDS
            log.warning(
                "Redis does not answer, no events are sent for %.0f s; watchers read rows: %s",
                PUBLISH_PAUSE_SECONDS,
                error,
            )

    def _connected(self) -> "redis.Redis":
        if self._redis is None:
            # Both timeouts are None by default, which is for ever: on a frozen Redis a publish
            # still hung after 45 s.
            self._redis = redis.Redis.from_url(
                conf().redis_url, socket_timeout=0.5, socket_connect_timeout=0.25
            )
        return self._redis


def _read_rows(job_ids: list[UUID]) -> list[Job]:
    try:
        return list(Job.objects.filter(pk__in=job_ids))
    except DATABASE_ERRORS as error:
        connections.close_all()
        log.warning("the database does not answer, watched jobs are not read: %s", error)
        return []


class Notifier:
    """Notifies all watchers of one web process, from one subscription."""

    def __init__(self) -> None:
        self._watchers: defaultdict[UUID, set[asyncio.Queue[int]]] = defaultdict(set)
        self._rows: dict[UUID, Job] = {}
        self._subscribed = False

    @contextlib.asynccontextmanager
    async def watch(self, job_id: UUID) -> AsyncIterator["asyncio.Queue[int]"]:
        """A queue that receives the job's version at each change; `latest()` has the row."""
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        self._watchers[job_id].add(queue)
        try:
            # The job may have changed after the watcher read its row and before it was added here.
            if (known := self._rows.get(job_id)) is not None:
                queue.put_nowait(known.version)
            else:
                await self._refresh([job_id])

            # The read took a thread with its database connection. A watcher may wait for hours.
            await release()
            yield queue
        finally:
            self._watchers[job_id].discard(queue)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
                self._rows.pop(job_id, None)

    def latest(self, job_id: UUID) -> Job | None:
        """The newest row that this process has seen of a watched job."""
        return self._rows.get(job_id)

    async def run(self) -> None:
        """Run until cancelled: listen to events, and read the watched rows again and again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._reread())

    async def _reread(self) -> None:
        while True:
            await asyncio.sleep(
                REREAD_INTERVAL_SECONDS if self._subscribed else OUTAGE_REREAD_INTERVAL_SECONDS
            )
            await self._refresh(list(self._watchers))

    async def _listen(self) -> None:
        while True:
            # health_check_interval finds a half-open connection. The wait for a message itself has
            # no limit.
            client = redis.asyncio.Redis.from_url(
                conf().redis_url,
                socket_connect_timeout=1.0,
                socket_timeout=5.0,
                health_check_interval=5,
            )
            try:
                async with client, client.pubsub() as subscription:
                    await self._receive(subscription)
            except (redis.RedisError, OSError) as error:
                if self._subscribed:
                    log.warning(
                        "Redis does not answer, events are lost; watched rows are read every "
                        "second: %s",
                        error,
                    )
                self._subscribed = False
                await asyncio.sleep(OUTAGE_REREAD_INTERVAL_SECONDS)

    async def _receive(self, subscription: Any) -> None:
        """Handle every event, until Redis fails."""
        await subscription.subscribe(_channel())
        self._subscribed = True
        while True:
            message = await subscription.get_message(
                ignore_subscribe_messages=True, timeout=OUTAGE_REREAD_INTERVAL_SECONDS
            )
            if message is not None:
                await self._on_event(json.loads(message["data"]))

    async def _on_event(self, event: dict[str, Any]) -> None:
        """Three cases:
        1. Nobody here watches the job.
        2. Its state is new: the row is read, for only the row has start, result and error.
        3. Its progress is new: the event says all.
        """
        job_id = UUID(event["id"])
        if job_id not in self._watchers:
            return

        known = self._rows.get(job_id)
        if known is None or event["status"] != known.status:
            await self._refresh([job_id])
        elif event["version"] > known.version:
            # A copy, because watchers hold the old row to compare with.
            newer = copy.copy(known)
            newer.version = event["version"]
            newer.progress = event["progress"]
            newer.message = event["message"]
            self._rows[job_id] = newer
            self._notify(newer)

    async def _refresh(self, job_ids: Iterable[UUID]) -> None:
        wanted = list(job_ids)
        if not wanted:
            return

        for row in await sync_to_async(_read_rows)(wanted):
            known = self._rows.get(row.pk)
            if row.pk in self._watchers and (known is None or row.version > known.version):
                self._rows[row.pk] = row
                self._notify(row)

    def _notify(self, job: Job) -> None:
        for queue in self._watchers[job.pk]:
            if queue.full():
                # A slow reader gets the newest state, not every state.
                queue.get_nowait()
            queue.put_nowait(job.version)
