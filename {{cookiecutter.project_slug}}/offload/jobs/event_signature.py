"""Signs events with SECRET_KEY, which every process of the service has and Redis has not.

Without it whoever can write to Redis could show a watcher any progress and text. One event with a
version from the far future would keep the watcher from all later ones, and so from the job's end.
"""

import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

SALT = "offload.jobs.events"


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
