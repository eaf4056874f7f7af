"""The test project's application: two lifespans that print what they do, and signal receivers."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started

# The imports below load models.
django.setup()

from offload.serving import Application  # noqa: E402
from offload.serving.handler import Handler  # noqa: E402
from serving_project.views import FACTS, measure_turns  # noqa: E402


@asynccontextmanager
async def first(state: dict[str, Any]) -> AsyncIterator[None]:
    """Opens and says so."""
    state["opened"] = ["first"]
    turns = asyncio.create_task(measure_turns()) if "SERVING_TEST_TURNS" in os.environ else None
    yield
    if turns is not None:
        turns.cancel()
    print("first closed", flush=True)


@asynccontextmanager
async def second(state: dict[str, Any]) -> AsyncIterator[None]:
    """Opens after the first, or fails if a test says so."""
    if os.environ.get("SERVING_TEST_FAIL"):
        raise ImproperlyConfigured("REDIS_URL names no host. Set it to redis://host:port/0.")
    state["opened"].append("second")
    yield
    print("second closed", flush=True)


def started(**named: Any) -> None:
    FACTS["started"] += "scope" in named


def finished(**named: Any) -> None:
    FACTS["finished"] += named["sender"] is (ASGIHandler if settings.OFFLOAD.lean else Handler)


async def finished_async(**named: Any) -> None:
    FACTS["finished_async"] += 1


if os.environ.get("SERVING_TEST_RECEIVERS"):
    request_started.connect(started)
    request_finished.connect(finished)
    request_finished.connect(finished_async)

application = Application(lifespans=[first, second])
