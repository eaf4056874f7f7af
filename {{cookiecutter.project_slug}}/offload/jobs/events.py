"""What processes tell each other of a changed job, through Redis pub/sub.

Events are signed with SECRET_KEY, which every process of the service has and Redis has not. Without
it whoever can write to Redis could show a watcher any progress and text. One event with a version
from the far future would keep the watcher from all later ones, and so from the job's end.
"""

import json
import logging
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from pydantic import BaseModel

from offload.conf import conf
from offload.jobs.models import Job
from offload.redis_answers import strict_answers

logger = logging.getLogger("offload.jobs")

# Seconds without another try after Redis failed, so that a dead Redis does not slow every report.
PUBLISH_PAUSE_SECONDS = 5.0
SALT = "offload.jobs.events"


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
            message = json.dumps(signed(job.snapshot()))
            with strict_answers():
                self._connected().publish(channel(), message)
        except redis.RedisError as error:
            self._paused_until = time.monotonic() + PUBLISH_PAUSE_SECONDS
            logger.warning(
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


class Event(BaseModel):
    """A message on the channel of events: what `Job.snapshot` makes, signed."""

    id: UUID
    version: int
    status: str
    progress: float
    message: str
    # Empty from an older version of this service.
    signature: str = ""


def channel() -> str:
    """The channel of this service's events in Redis."""
    return f"{conf().events_prefix}:jobs"


def signed(snapshot: dict[str, Any]) -> dict[str, Any]:
    """An event: what `Job.snapshot` makes, with its signature."""
    return snapshot | {"signature": _signature(snapshot, settings.SECRET_KEY)}


def is_genuine(event: Mapping[str, Any]) -> bool:
    """Whether a process of this service has signed this, with today's key or a former one."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(event["signature"], _signature(event, key)) for key in keys)


def _signature(event: Mapping[str, Any], key: str) -> str:
    job_id, progress = str(event["id"]), float(event["progress"])
    # As JSON, so that the end of one value is not the begin of the next.
    text = json.dumps([job_id, event["version"], event["status"], progress, event["message"]])
    return salted_hmac(SALT, text, secret=key, algorithm="sha256").hexdigest()
