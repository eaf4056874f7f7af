"""Checks of Celery's settings, in Django's settings (`CELERY_…`) or on the Celery app itself."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from celery.app.defaults import DEFAULTS, NAMESPACES, SETTING_KEYS, flatten
from django.conf import settings
from django.core.checks import CheckMessage, register

from offload.celery_app import celery_app
from offload.guard.checks.run_checks import TAG, error, warning

PREFIX = "CELERY_"
# Beginnings of the variables that Celery reads from the environment after the prefix (celery/app,
# loaders, utils/log, contrib/rdb), and its init scripts (extra/).
ENVIRONMENT_NAMES = (
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
# Celery 5.7 still takes the names of its third version, such as CELERY_IGNORE_RESULT.
OLD_NAMES = {name for option in dict(flatten(NAMESPACES)).values() for name in option.old}
# kombu's default for Redis.
DEFAULT_VISIBILITY_TIMEOUT_SECONDS = 3600
# The brokers that E710 and E711 are about.
REDIS_SCHEMES = ("redis://", "rediss://", "valkey://", "valkeys://", "sentinel://")
# A warning names so many tasks.
MAX_TASKS_NAMED = 5


def setting(name: str) -> Any:
    """A Celery setting as it is in effect.

    What the Celery app was given after it had read Django's settings wins.
    """
    value = celery_app().conf.get(name)
    if value != DEFAULTS.get(name):
        return value
    return getattr(settings, PREFIX + name.upper(), None) or value


@register(TAG)
def check_names(**_: object) -> Iterator[CheckMessage]:
    """E709: settings that Celery does not know and would ignore."""
    found = {name: "setting" for name in dir(settings) if name.startswith(PREFIX)}
    for name in os.environ:
        known = name.removeprefix(PREFIX).startswith(ENVIRONMENT_NAMES)
        if name.startswith(PREFIX) and not known:
            found[name] = "variable"

    for name, kind in found.items():
        key = name.removeprefix(PREFIX).lower()
        if key in SETTING_KEYS or name.lower() in OLD_NAMES:
            continue
        close = get_close_matches(key, SETTING_KEYS, n=1)
        guess = f"perhaps {PREFIX}{close[0].upper()}" if close else "a name of Celery's reference"
        yield error(
            "E709",
            f"Celery knows no {kind} {name}, and would ignore it.",
            f"{guess}; delete it, or rename it where your own code reads it.",
        )


@register(TAG)
def check_eager(**_: object) -> Iterator[CheckMessage]:
    """E708: tasks that run in the web process."""
    if setting("task_always_eager"):
        yield error(
            "E708",
            "CELERY_TASK_ALWAYS_EAGER: tasks run inside the web process, on its event loop.",
            "a worker. A test uses a real worker, too, or calls the function that the task wraps.",
        )


@register(TAG)
def check_results(**_: object) -> Iterator[CheckMessage]:
    """W712: results that Celery keeps."""
    keeps = setting("result_backend") not in (None, "disabled")
    if keeps and not setting("task_ignore_result"):
        yield warning(
            "W712",
            "Celery keeps every result: each publish subscribes to a channel of its own.",
            "CELERY_TASK_IGNORE_RESULT = True; results belong in the job's row.",
        )


@register(TAG)
def check_time_limits(**_: object) -> Iterator[CheckMessage]:
    """W713: tasks that may run for ever."""
    own = (task for name, task in celery_app().tasks.items() if not name.startswith("celery."))
    unlimited = sorted(task.name for task in own if task.time_limit is None)
    if unlimited and not setting("task_time_limit"):
        named = ", ".join(unlimited[:MAX_TASKS_NAMED])
        yield warning(
            "W713",
            f"Tasks without a time limit: {named}. A task that hangs keeps its process for ever.",
            "CELERY_TASK_TIME_LIMIT, or time_limit on each task.",
        )


@register(TAG)
def check_broker(**_: object) -> Iterator[CheckMessage]:
    """E710 and E711: a Redis that publishers wait for without end, and tasks that run twice."""
    options = setting("broker_transport_options") or {}
    if not str(setting("broker_url") or "").startswith(REDIS_SCHEMES):
        return

    timeouts = ("socket_timeout", "socket_connect_timeout")
    missing = [name for name in timeouts if not options.get(name)]
    if missing:
        yield error(
            "E710",
            f"The broker has no {' and no '.join(missing)}: if Redis does not answer, every publish"
            " waits for ever.",
            "both in broker_transport_options, in seconds.",
        )

    limit = setting("task_time_limit")
    hidden = options.get("visibility_timeout", DEFAULT_VISIBILITY_TIMEOUT_SECONDS)
    if setting("task_acks_late") and (limit is None or limit >= hidden):
        yield error(
            "E711",
            f"Tasks may run for {limit or 'any number of'} seconds, but Redis delivers their"
            f" message again after {hidden}.",
            "a visibility_timeout above task_time_limit; or early acknowledgement with a lease, as"
            " offload.jobs has.",
        )
