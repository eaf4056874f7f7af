"""Checks of what Celery is told, whether in Django's settings (`CELERY_…`) or on the app itself."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from celery import current_app
from celery.app.defaults import SETTING_KEYS
from django.conf import settings
from django.core.checks import CheckMessage, register

from offload.guard.checks import TAG, error, warning

PREFIX = "CELERY_"
# What Celery reads from the environment (celery/app, loaders, utils/log, contrib/rdb) and its init
# scripts (extra/).
ENVIRONMENT = (
    "BROKER_",
    "RESULT_BACKEND",
    "CONFIG_MODULE",
    "LOADER",
    "TRACE_APP",
    "LOG_",
    "RDB_",
    "APP",
    "BIN",
)
# Seconds: kombu's default for Redis.
VISIBILITY = 3600
REDIS = ("redis://", "rediss://", "valkey://", "valkeys://", "sentinel://")


def value(name: str) -> Any:
    """A Celery setting as it is in effect."""
    return getattr(settings, PREFIX + name.upper(), None) or current_app.conf.get(name)


@register(TAG)
def names(**_: object) -> Iterator[CheckMessage]:
    """E709: settings that Celery would ignore in silence."""
    written = {name: "setting" for name in dir(settings) if name.startswith(PREFIX)}
    in_environment = (name for name in os.environ if name.startswith(PREFIX))
    written |= {
        name: "variable"
        for name in in_environment
        if not name[len(PREFIX) :].startswith(ENVIRONMENT)
    }
    for name, kind in written.items():
        key = name.removeprefix(PREFIX).lower()
        if key not in SETTING_KEYS:
            close = get_close_matches(key, SETTING_KEYS, n=1)
            guess = (
                f"{PREFIX}{close[0].upper()}, perhaps"
                if close
                else "a name from Celery's documentation"
            )
            yield error(
                "E709",
                f"Celery knows no {kind} {name}, and would ignore it.",
                f"{guess}; or delete it.",
            )


@register(TAG)
def execution(**_: object) -> Iterator[CheckMessage]:
    """E708, W712 and W713: where tasks run, what is kept of them, and how long they may take."""
    if value("task_always_eager"):
        yield error(
            "E708",
            "CELERY_TASK_ALWAYS_EAGER: tasks run inside the web process, on its event loop.",
            "a worker; in tests a real one, too, or the plain function that the task wraps.",
        )
    if value("result_backend") not in (None, "disabled") and not value("task_ignore_result"):
        yield warning(
            "W712",
            "Celery keeps every result: each publish subscribes to a channel of its own.",
            "CELERY_TASK_IGNORE_RESULT = True; results belong in the job's row.",
        )
    own = (task for name, task in current_app.tasks.items() if not name.startswith("celery."))
    unlimited = sorted(task.name for task in own if task.time_limit is None)
    if unlimited and not value("task_time_limit"):
        yield warning(
            "W713",
            f"Tasks without a time limit: {', '.join(unlimited[:5])}. A hung one keeps its process for good.",
            "CELERY_TASK_TIME_LIMIT, or time_limit on each.",
        )


@register(TAG)
def broker(**_: object) -> Iterator[CheckMessage]:
    """E710 and E711: a broker that may keep silent for ever, messages that come back while their
    task still runs.
    """
    options = value("broker_transport_options") or {}
    if not str(value("broker_url") or "").startswith(REDIS):
        return
    missing = [
        name for name in ("socket_timeout", "socket_connect_timeout") if not options.get(name)
    ]
    if missing:
        yield error(
            "E710",
            f"The broker has no {' and no '.join(missing)}: whoever publishes to a frozen Redis hangs for ever.",
            "both in broker_transport_options, in seconds.",
        )
    limit, hidden = value("task_time_limit"), options.get("visibility_timeout", VISIBILITY)
    if value("task_acks_late") and (limit is None or limit >= hidden):
        yield error(
            "E711",
            f"Tasks may run for {limit or 'any number of'} seconds, but their message comes back after {hidden}.",
            "a visibility_timeout above task_time_limit; or early acknowledgement with a lease, as offload.jobs has.",
        )
