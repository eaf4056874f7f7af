"""Views that stream: from async generators, and from files."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any

from django.contrib.auth.models import Group
from django.core.files import File
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.decorators import async_only_middleware

from serving_project.views import FACTS, UPLOADS


@async_only_middleware
def makes_streams(get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> Any:
    """Answers `/api/made` with an event stream that no view made."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        return await (
            stream(request) if request.path_info == "/api/made" else get_response(request)
        )

    return middleware


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    # The query borrows a thread, which the stream does not need.
    await Group.objects.acount()
    await asyncio.sleep(float(request.GET.get("after", "0")))

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
    """More than the sockets hold, so it comes to stand at its `yield`; without a collector that
    would find it later.
    """
    gc.disable()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(2**20)
        finally:
            FACTS["streams_closed"] += 1

    return StreamingHttpResponse(pieces())


async def counted_pieces(request: HttpRequest) -> StreamingHttpResponse:
    """A stream whose pieces are counted."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            FACTS["pieces"] += 1
            yield b"-"

    return StreamingHttpResponse(pieces(), headers={"X-Pieces": "1000"})


async def with_status(request: HttpRequest) -> HttpResponseBase:
    """A response of some kind, with content that its status may not allow."""
    headers = {"Content-Length": "7"} if "length" in request.GET else {}
    status = int(request.GET["status"])
    if request.GET["kind"] == "file":
        file = CountedReads(b"content")
        UPLOADS.append(File(file))
        return FileResponse(file, status=status)

    async def pieces() -> AsyncIterator[bytes]:
        FACTS["pieces"] += 1
        yield b"content"

    if request.GET["kind"] == "stream":
        return StreamingHttpResponse(pieces(), status=status, headers=headers)
    response = HttpResponse(b"content", status=status, headers=headers)
    if request.GET["kind"] == "cookies":
        response.set_cookie("seen", "1")
    return response


class CountedReads(BytesIO):
    """A file whose reads are counted."""

    def read(self, size: int | None = -1) -> bytes:
        FACTS["pieces"] += 1
        return super().read(size)


async def stored(request: HttpRequest) -> FileResponse:
    """A file."""
    file = CountedReads(bytes(5 * 2**20))
    UPLOADS.append(File(file))
    return FileResponse(file, filename="stored")


async def large_file(request: HttpRequest) -> FileResponse:
    """A file of 300 MB, which takes no room on the disk."""
    file = TemporaryFile()  # noqa: SIM115  Django closes it
    file.truncate(300 * 10**6)
    UPLOADS.append(File(file))
    return FileResponse(file)


async def growing_file(request: HttpRequest) -> FileResponse:
    """A file that somebody else writes more into while it is read."""
    file = TemporaryFile()  # noqa: SIM115  Django closes it
    file.write(bytes(200_000))
    file.seek(0)
    response = FileResponse(file)
    os.pwrite(file.fileno(), b"more", 200_000)
    return response


async def part_of_file(request: HttpRequest) -> FileResponse:
    """The bytes from 100 to 149."""
    file = CountedReads(bytes(100) + b"part!" * 10 + bytes(10**6))
    file.seek(100)
    response = FileResponse(file, status=206)
    # Django would send all that is behind it.
    response.headers["Content-Length"] = "50"
    response.headers["Content-Range"] = "bytes 100-149/1000150"
    return response


# The ends of pipes that nothing is written to.
SILENT: list[int] = []


async def hanging_file(request: HttpRequest) -> FileResponse:
    """A file whose first byte never comes."""
    FACTS["pieces"] += 1
    reading, writing = os.pipe()
    SILENT.append(writing)
    return FileResponse(os.fdopen(reading, "rb"))


async def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    """A stream that fails after its first piece has been sent."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a piece"
        await asyncio.sleep(0.2)
        raise ValueError("as the test wants")

    return StreamingHttpResponse(pieces())


async def peeked(request: HttpRequest) -> StreamingHttpResponse:
    """The view reads the first row, and the stream the others of the same query."""
    groups = Group.objects.aiterator(chunk_size=2)
    first = await anext(groups)

    async def names() -> AsyncIterator[str]:
        yield first.name
        async for group in groups:
            yield group.name

    return StreamingHttpResponse(names())
