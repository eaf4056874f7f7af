"""Views of the test project; each shows one thing that the tests ask about."""

import asyncio
import contextlib
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from prometheus_client import generate_latest

from offload.serving import release

FACTS: dict[str, int] = {"cancelled": 0, "started": 0, "finished": 0, "finished_async": 0, "streams_closed": 0}
BUSY: set[int] = set()  # threads with a sync call running in them
IN_TRANSACTION: set[int] = set()  # database connections with a transaction open
GO = asyncio.Event()


def sync_only(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """A third party's middleware that knows nothing of async."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers["X-Sync-Only"] = "was here"
        return response

    return middleware


async def ping(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pong": True, "state": request.scope["state"].get("opened", [])})


async def facts(request: HttpRequest) -> JsonResponse:
    return JsonResponse(FACTS)


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


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    await Group.objects.acount()  # a stream that came with a thread

    async def events() -> AsyncIterator[str]:
        number = int(request.GET.get("from", "0"))
        try:
            while True:
                yield f"id: {number}\n\n"
                number += 1
                await asyncio.sleep(float(request.GET.get("every", "0.05")))
        finally:
            FACTS["streams_closed"] += 1

    return StreamingHttpResponse(events(), content_type="text/event-stream")


async def export(request: HttpRequest) -> StreamingHttpResponse:
    """More than the sockets hold, so it comes to stand at its `yield`; without a collector that would find it later."""
    gc.disable()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(2**20)
        finally:
            FACTS["streams_closed"] += 1

    return StreamingHttpResponse(pieces())


def in_thread(request: HttpRequest) -> JsonResponse:
    """A sync view, alone in its thread."""
    ident = threading.get_ident()
    shared = ident in BUSY
    BUSY.add(ident)
    time.sleep(float(request.GET.get("seconds", "0")))
    BUSY.discard(ident)
    return JsonResponse({"thread": ident, "shared": shared})


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
        await release()  # has to leave the waiting thread alone
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
    await release()  # read to its end: nothing is open
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
    return JsonResponse({"size": file.size, "first": file.read(1).decode(), "pid": os.getpid()})


async def fail(request: HttpRequest) -> JsonResponse:
    raise ValueError("as the test wants")


async def session(request: HttpRequest) -> JsonResponse:
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    return JsonResponse({"seen": seen})
