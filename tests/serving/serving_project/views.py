"""Views of the test project; each shows one thing that the tests ask about."""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.core.files import File
from django.db import connection, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
)
from django.views import defaults
from django.views.decorators.clickjacking import xframe_options_exempt
from prometheus_client import generate_latest
from pydantic_core import from_json

from offload.serving import release
from offload.serving.handler import unlogged
from offload.serving.request_thread import current_request_thread
from offload.serving.stop_signals import is_draining
from offload.serving.unavailable import unavailable

COUNTED = (
    "cancelled",
    "started",
    "finished",
    "finished_async",
    "streams_closed",
    "closed",
    "refused",
    "pieces",
)
FACTS: dict[str, int] = dict.fromkeys(COUNTED, 0)
UPLOADS: "list[File[Any]]" = []
# The threads in which a sync call is running.
BUSY: set[int] = set()
# The database connections with an open transaction.
IN_TRANSACTION: set[int] = set()
GO = asyncio.Event()
# Sync views may wait for it, for so many seconds at most.
LET_GO = threading.Event()
MAX_HELD_SECONDS = 60


def sync_only(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """A third party's middleware that knows nothing of async."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers["X-Sync-Only"] = "was here"
        return response

    return middleware


async def ping(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pong": True, "state": request.scope["state"].get("opened", [])})


async def facts(request: HttpRequest) -> JsonResponse:
    cycles = sum(type(found).__name__ == "RequestResponseCycle" for found in gc.get_objects())
    return JsonResponse(
        {
            **FACTS,
            "open_uploads": sum(not file.closed for file in UPLOADS),
            "queued_requests": cycles,
        }
    )


async def echo(request: HttpRequest) -> JsonResponse:
    """What the request was, as the view sees it."""
    return JsonResponse(
        {
            "method": request.method,
            "size": len(request.body),
            "body": request.body[:100].decode("latin-1"),
            "headers": dict(request.headers),
        }
    )


async def ready(request: HttpRequest) -> JsonResponse:
    """What a balancer asks before it sends a request."""
    return JsonResponse({}, status=503 if is_draining(request) else 200)


async def parsed(request: HttpRequest) -> JsonResponse:
    """Parses its body, as the API does."""
    try:
        return JsonResponse({"found": len(from_json(request.body))})
    except ValueError as error:
        return JsonResponse({"error": str(error)}, status=400)


LONGEST_TURN = {"seconds": 0.0}


async def measure_turns() -> None:
    """Note the CPU time that the loop's thread spent between two looks of this task.

    Another task that is ready waits that long, however busy the machine is.
    """
    last = time.thread_time()
    while True:
        await asyncio.sleep(0.001)
        now = time.thread_time()
        LONGEST_TURN["seconds"] = max(LONGEST_TURN["seconds"], now - last)
        last = now


async def longest_turn(request: HttpRequest) -> JsonResponse:
    """The longest turn of the event loop since the last time that somebody asked."""
    found, LONGEST_TURN["seconds"] = LONGEST_TURN["seconds"], 0.0
    return JsonResponse({"seconds": found})


async def large(request: HttpRequest) -> HttpResponse:
    """More than the sockets hold."""
    return HttpResponse(bytes(int(request.GET.get("size", 16 * 2**20))))


async def garbage(request: HttpRequest) -> JsonResponse:
    """How many objects only the collector could free since the last time."""
    gc.disable()
    return JsonResponse({"found": gc.collect()})


async def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type="text/plain")


async def wait(request: HttpRequest) -> JsonResponse:
    try:
        await asyncio.sleep(float(request.GET.get("seconds", "60")))
    except asyncio.CancelledError:
        FACTS["cancelled"] += 1
        raise
    return JsonResponse({"waited": True})


async def fan_out(request: HttpRequest) -> JsonResponse:
    """One query, a long wait without its thread, one query."""
    before = await Group.objects.acount()
    await release()
    await GO.wait()
    return JsonResponse({"groups": [before, await Group.objects.acount()]})


async def go(request: HttpRequest) -> JsonResponse:
    GO.set()
    return JsonResponse({})


def server_error(request: HttpRequest) -> HttpResponse:
    """As `offload.views.server_error`, which needs more apps than this project has."""
    problem = unavailable(sys.exc_info()[1])
    return unlogged(problem) if problem else defaults.server_error(request)


def in_thread(request: HttpRequest) -> JsonResponse:
    """A sync view, alone in its thread, for so many seconds or until `let_go` is called."""
    ident = threading.get_ident()
    shared = ident in BUSY
    connection.ensure_connection()
    BUSY.add(ident)
    if "held" in request.GET:
        LET_GO.wait(MAX_HELD_SECONDS)
    time.sleep(float(request.GET.get("seconds", "0")))
    BUSY.discard(ident)
    return JsonResponse({"thread": ident, "shared": shared})


async def let_go(request: HttpRequest) -> HttpResponse:
    """End all that is held."""
    LET_GO.set()
    return HttpResponse()


def slow_query(request: HttpRequest) -> HttpResponse:
    """A query that takes so many seconds on PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [float(request.GET["seconds"])])
    return HttpResponse()


async def in_thread_async(request: HttpRequest) -> HttpResponse:
    """The same called by an async view, which can be cancelled while its thread can't."""
    return await sync_to_async(in_thread)(request)


async def transactions(request: HttpRequest) -> JsonResponse:
    """Two transactions one after the other, each alone on its connection."""

    def once() -> bool:
        with transaction.atomic():
            Group.objects.count()
            ours = id(connection.connection)
            shared = ours in IN_TRANSACTION
            IN_TRANSACTION.add(ours)
            time.sleep(0.01)
            IN_TRANSACTION.discard(ours)
        return shared

    shared = await sync_to_async(once)()
    if "release" in request.GET:
        await release()
    return JsonResponse({"shared": shared or await sync_to_async(once)()})


async def nested(request: HttpRequest) -> JsonResponse:
    """Async, sync, async, sync: one thread, and no deadlock."""
    idents: list[int] = []

    async def inner() -> None:
        # This must not release the thread, in which `outer` still waits.
        await release()
        idents.append(await sync_to_async(threading.get_ident)())
        await Group.objects.acount()

    def outer() -> None:
        idents.append(threading.get_ident())
        async_to_sync(inner)()

    await sync_to_async(outer)()
    idents.append(await sync_to_async(threading.get_ident)())
    return JsonResponse({"threads": len(set(idents))})


async def held(request: HttpRequest) -> JsonResponse:
    """Waiting is refused while something open would be lost."""
    said: dict[str, Any] = {}
    rows = 0
    async for _ in Group.objects.aiterator(chunk_size=2):
        rows += 1
        if rows == 1:
            with contextlib.suppress(RuntimeError):
                await release()
                said["query"] = "was lost"
    # The query was read to its end, so nothing is open.
    await release()
    await sync_to_async(transaction.set_autocommit)(False)
    try:
        await release()
        said["transaction"] = "was lost"
    except RuntimeError as error:
        said["sentence"] = str(error)
    await sync_to_async(transaction.set_autocommit)(True)
    return JsonResponse({"rows": rows, **said})


async def upload(request: HttpRequest) -> JsonResponse:
    file = request.FILES["file"]
    UPLOADS.append(file)
    return JsonResponse({"size": file.size, "first": file.read(1).decode(), "pid": os.getpid()})


async def fail(request: HttpRequest) -> JsonResponse:
    raise ValueError("as the test wants")


async def session(request: HttpRequest) -> JsonResponse:
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    return JsonResponse({"seen": seen})


async def item(request: HttpRequest, number: int) -> JsonResponse:
    return JsonResponse({"number": number})


@xframe_options_exempt
async def embedded(request: HttpRequest) -> HttpResponse:
    """May be framed, and has a policy of its own."""
    return HttpResponse("in a frame", headers={"Referrer-Policy": "no-referrer"})


async def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


class Closing(JsonResponse):
    """Wants to be closed."""

    def close(self) -> None:
        super().close()
        FACTS["closed"] += 1


async def closing(request: HttpRequest) -> HttpResponse:
    return Closing({})


LAST: ContextVar[str] = ContextVar("last", default="nobody")


async def remembers(request: HttpRequest) -> JsonResponse:
    """Who was the last to leave a name in this context."""
    last = LAST.get()
    LAST.set(request.headers["X-Name"])
    return JsonResponse({"last": last})


async def left_open(request: HttpRequest) -> JsonResponse:
    """Says whether it met a transaction that somebody left open, and leaves one."""

    def enter() -> bool:
        met = connection.in_atomic_block
        transaction.atomic().__enter__()
        return met

    return JsonResponse({"met": await sync_to_async(enter)()})


async def beside(request: HttpRequest) -> JsonResponse:
    """A query is read while another task of the request releases: the query keeps its thread."""
    kept: set[bool] = set()
    # None on the stock handler, which keeps its thread to the end.
    thread = current_request_thread.get()

    async def leave() -> None:
        with contextlib.suppress(RuntimeError):
            await release()

    async def read() -> None:
        async for _ in Group.objects.aiterator(chunk_size=1):
            kept.add(thread is None or thread.borrowed)

    async def compute() -> None:
        time.sleep(0.01)  # noqa: ASYNC251 - the loop hears of both calls' ends at once

    await Group.objects.acount()
    await asyncio.gather(leave(), read(), compute())
    return JsonResponse({"kept": all(kept)})


OUTLIVING: set[asyncio.Task[None]] = set()


async def outlives(request: HttpRequest) -> JsonResponse:
    """Leaves a task that wants its request's thread after the end."""

    async def late() -> None:
        await asyncio.sleep(0.2)
        try:
            await sync_to_async(threading.get_ident)()
        except RuntimeError:
            FACTS["refused"] += 1

    OUTLIVING.add(asyncio.create_task(late()))
    return JsonResponse({})


async def awaits_cancelled(request: HttpRequest) -> JsonResponse:
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task
    return JsonResponse({})


async def cleans_up(request: HttpRequest) -> JsonResponse:
    """Needs what the lifespans opened when it is cancelled, too."""
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.3)
        print("cleaned up", flush=True)
    return JsonResponse({})
