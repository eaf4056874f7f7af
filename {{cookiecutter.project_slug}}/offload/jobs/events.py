"""Tells every web process that a job has changed: Redis pub/sub, with one subscription in each web
process.

Events are a courtesy, rows the truth: without Redis the hub reads the watched rows instead, and a
lost event costs a watcher at most `RECHECK` seconds.
"""

import asyncio
import contextlib
import copy
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from functools import cache
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connections

from offload.conf import conf
from offload.jobs.models import Job
from offload.serving import release

log = logging.getLogger("offload.jobs")

# Seconds between reads of the watched rows while events flow.
RECHECK = 5.0
# ... and while Redis is away.
POLL = 1.0
# Seconds without trying after Redis failed, so that a dead Redis does not slow every report.
_SILENCE = 5.0

_quiet_until = 0.0


def _channel() -> str:
    return f"{conf().events_prefix}:jobs"


@cache
def _publisher() -> "redis.Redis":
    # A worker must not hang on a frozen Redis: both default to None, for ever (a publish still hung
    # after 45 s).
    return redis.Redis.from_url(conf().redis_url, socket_timeout=0.5, socket_connect_timeout=0.25)


def publish(job: Job) -> None:
    """Tell the watchers of `job`, if Redis is there. Never raises, blocks for half a second at
    most.
    """
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        _publisher().publish(_channel(), json.dumps(job.snapshot()))
    except redis.RedisError as error:
        _quiet_until = time.monotonic() + _SILENCE
        log.warning("events are not sent, watchers read rows: %s", error)


def _read(job_ids: list[UUID]) -> list[Job]:
    try:
        return list(Job.objects.filter(pk__in=job_ids))
    except (DatabaseError, InterfaceError) as error:
        connections.close_all()
        log.warning("watched rows can't be read: %s", error)
        return []


class Hub:
    """Serves all watchers of one web process from one subscription."""

    def __init__(self) -> None:
        self._watchers: defaultdict[UUID, set[asyncio.Queue[int]]] = defaultdict(set)
        self._rows: dict[UUID, Job] = {}
        self._subscribed = False

    @contextlib.asynccontextmanager
    async def watch(self, job_id: UUID) -> AsyncIterator["asyncio.Queue[int]"]:
        """A queue that receives the job's version at each change; the latest row is at `latest()`."""
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        self._watchers[job_id].add(queue)
        try:
            # What changed after the watcher read its row and before it was heard of here would be
            # missed.
            if (known := self._rows.get(job_id)) is not None:
                queue.put_nowait(known.version)
            else:
                await self._refresh([job_id])
            # The reads borrowed a thread with its connection, and a watcher may wait for hours.
            await release()
            yield queue
        finally:
            self._watchers[job_id].discard(queue)
            if not self._watchers[job_id]:
                del self._watchers[job_id]
                self._rows.pop(job_id, None)

    def latest(self, job_id: UUID) -> Job | None:
        """The newest row the hub has seen of a watched job."""
        return self._rows.get(job_id)

    async def run(self) -> None:
        """Serve until cancelled: events while Redis is there, rows all the time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._recheck())

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK if self._subscribed else POLL)
            await self._refresh(list(self._watchers))

    async def _listen(self) -> None:
        while True:
            # health_check_interval finds a half-open connection; the wait for messages itself has
            # no limit.
            client = redis.asyncio.Redis.from_url(
                conf().redis_url,
                socket_connect_timeout=1.0,
                socket_timeout=5.0,
                health_check_interval=5,
            )
            try:
                async with client, client.pubsub() as subscription:
                    await subscription.subscribe(_channel())
                    self._subscribed = True
                    while True:
                        message = await subscription.get_message(
                            ignore_subscribe_messages=True, timeout=POLL
                        )
                        if message is not None:
                            await self._on_event(json.loads(message["data"]))
            except (redis.RedisError, OSError) as error:
                if self._subscribed:
                    log.warning("events are lost, reading rows instead: %s", error)
                self._subscribed = False
                await asyncio.sleep(POLL)

    async def _on_event(self, event: dict[str, Any]) -> None:
        job_id = UUID(event["id"])
        if job_id not in self._watchers:
            return
        known = self._rows.get(job_id)
        if known is None or event["status"] != known.status:
            # Started, result, error: only the row has them.
            await self._refresh([job_id])
        elif event["version"] > known.version:
            # Watchers hold the old one, to compare with.
            newer = copy.copy(known)
            newer.version, newer.progress, newer.message = (
                event["version"],
                event["progress"],
                event["message"],
            )
            self._rows[job_id] = newer
            self._tell(newer)

    async def _refresh(self, job_ids: Iterable[UUID]) -> None:
        wanted = list(job_ids)
        for row in await sync_to_async(_read)(wanted) if wanted else ():
            known = self._rows.get(row.pk)
            if row.pk in self._watchers and (known is None or row.version > known.version):
                self._rows[row.pk] = row
                self._tell(row)

    def _tell(self, job: Job) -> None:
        for queue in self._watchers[job.pk]:
            if queue.full():
                # A slow reader gets the newest state, not every state.
                queue.get_nowait()
            queue.put_nowait(job.version)
