"""A small service under the guard, for uvicorn: one view for each way to block the event loop."""

import asyncio
import ctypes
import gc
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from queue import Queue
from typing import Any

import django
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import path

django.setup()

from offload import guard  # noqa: E402 - settings come first
from offload.serving import Application  # noqa: E402
from offload.serving.request_state import state_of  # noqa: E402

MAY_ANSWER = Path(os.environ["MAY_ANSWER"])
NAME = re.compile(r"(a+)+$")


def collect_slowly() -> None:
    """Hold the GIL, as the garbage collection at the start of a large service does."""
    print("the start collects garbage", flush=True)
    NAME.match("a" * 24 + "!")


gc.collect = collect_slowly  # type: ignore[assignment]


@asynccontextmanager
async def opened_later(state: dict[str, Any]) -> AsyncIterator[None]:
    """A part of the service that is opened after the guard and waits meanwhile."""
    await asyncio.sleep(0.3)
    yield


async def sleeps(request: HttpRequest) -> HttpResponse:
    time.sleep(0.4)  # noqa: ASYNC251 - the fault to find
    return HttpResponse("slept")


async def computes(request: HttpRequest) -> HttpResponse:
    return HttpResponse(hashlib.pbkdf2_hmac("sha256", b"secret", b"salt", 1_500_000).hex())


async def holds_the_gil(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(NAME.match("a" * 25 + "!")))


async def hangs(request: HttpRequest) -> HttpResponse:
    # PyDLL keeps the GIL.
    ctypes.PyDLL(None).sleep(4)
    return HttpResponse("hung")


async def loops(request: HttpRequest) -> HttpResponse:
    """Block the loop until the test has made this file, at most for a minute."""
    until = time.monotonic() + 60
    while not MAY_ANSWER.exists() and time.monotonic() < until:  # noqa: ASYNC240
        sum(range(1000))
    return HttpResponse("looped")


async def waits(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(3)
    return HttpResponse("waited")


async def held(request: HttpRequest) -> HttpResponse:
    """Wait until the test has made this file."""
    # Another process makes it.
    while not MAY_ANSWER.exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.05)
    return HttpResponse("held")


async def long_poll(request: HttpRequest) -> HttpResponse:
    state = state_of(request)
    assert state is not None
    # As the job API's view does that waits for a job's end.
    state.declare_wait(lambda: None)
    await asyncio.sleep(3)
    return HttpResponse("nothing yet")


def pause() -> None:
    time.sleep(3)


def sleeps_in_its_thread(request: HttpRequest) -> HttpResponse:
    pause()
    return HttpResponse("slept")


async def waits_for_its_thread(request: HttpRequest) -> HttpResponse:
    await sync_to_async(pause)()
    return HttpResponse("waited")


def goes_back_to_the_loop(request: HttpRequest) -> HttpResponse:
    return async_to_sync(waits)(request)


async def fine(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse("fine")


slow = [waits, sleeps_in_its_thread, waits_for_its_thread, goes_back_to_the_loop]
urlpatterns = [
    path(view.__name__, view)
    for view in (sleeps, computes, holds_the_gil, hangs, loops, fine, held, long_poll, *slow)
]
# `get(request, timeout=3)` of a queue waits, and raises.
urlpatterns.append(path("library", partial(Queue[None]().get, timeout=3)))
application = Application(lifespans=[guard.lifespan, opened_later])
