"""Answers a job's result as it is stored: in pieces, never parsed, with `Range` (RFC 9110).

File storage may hang: it is asked for a few seconds at most.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.core.files.storage import default_storage
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotModified,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from pydantic_core import to_json

from offload.jobs.models import Job, Status
from offload.problems import Problem
from offload.serving.file_threads import in_file_thread

# Bytes of a stored result that are in memory at a time. Each piece costs a change of thread.
RESULT_PIECE_BYTES = 256 * 1024
# Seconds that one call of file storage may take: to open a file, or to read a piece of it.
STORAGE_ANSWER_SECONDS = 10.0
# What a client is told to wait for before it asks again.
RETRY_AFTER_SECONDS = 10
# A worker on one host wrote a file that the web process on another host does not see.
MISSING_RESULT = (
    "the stored result is missing: web processes and workers must share one file storage "
    "(MEDIA_ROOT)"
)

P = ParamSpec("P")
R = TypeVar("R")


class ByteRange(NamedTuple):
    """The bytes of a result that a response has: from `start` up to, but not including, `stop`."""

    start: int
    stop: int
    # The size of the whole result.
    size: int

    @property
    def partial(self) -> bool:
        """Whether a part of the result was asked for."""
        return self.stop - self.start != self.size


async def result_response(request: HttpRequest, job: Job) -> HttpResponseBase:
    """200 with a succeeded job's result, or 206 with the part that was asked for.

    304 without it where `If-None-Match` says that the client has it.

    Raises:
        Problem: 404 where there is no result, or its file is missing; 416 where `Range` begins
            after the end; 503 where file storage does not answer.
    """
    if job.status != Status.SUCCEEDED:
        raise Problem(404, f"job {job.pk} is {job.status}: only a succeeded job has a result")

    if _client_has(request, _etag(job)):
        return HttpResponseNotModified(headers=_headers(job))
    if job.result_file:
        return await _stored_result(request, job)

    body = to_json(job.result)
    span = asked_range(request, len(body), _etag(job))
    return HttpResponse(body[span.start : span.stop], **_head(job, span))


async def result_problem(job: Job) -> str | None:
    """Why a stored result cannot be read now; None where it can, or is in the row."""
    if not job.result_file:
        return None
    try:
        there = await _ask_storage(default_storage.exists, job.result_file)
    except Problem as problem:
        return problem.detail
    return None if there else MISSING_RESULT


async def _ask_storage(call: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
    """What a call of file storage returns. Its thread may go on: nothing ends one that hangs.

    Raises:
        Problem: 503: it has not answered in time.
        Exception: what the call raised.
    """
    try:
        async with asyncio.timeout(STORAGE_ANSWER_SECONDS):
            return await in_file_thread(call)(*args, **named)
    except TimeoutError as error:
        raise Problem(
            503,
            "file storage, which has the result, does not answer: ask again later",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        ) from error


async def _stored_result(request: HttpRequest, job: Job) -> HttpResponseBase:
    # In a thread that no request keeps: a slow client may take minutes.
    try:
        file, size = await _ask_storage(_open, job.result_file)
    except FileNotFoundError:
        raise Problem(404, MISSING_RESULT) from None

    try:
        span = asked_range(request, size, _etag(job))
    except Problem:
        file.close()
        raise
    return StreamingHttpResponse(_Pieces(file, span), **_head(job, span))


def _open(name: str) -> tuple[Any, int]:
    file = default_storage.open(name)
    return file, int(file.size)


class _Pieces:
    """The pieces of a file. Django closes them with their response, read or not."""

    def __init__(self, file: Any, span: ByteRange) -> None:
        self._file = file
        self._span = span

    def close(self) -> None:
        self._file.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await _ask_storage(self._file.seek, self._span.start)
        left = self._span.stop - self._span.start
        while left > 0:
            piece: bytes = await _ask_storage(self._file.read, min(left, RESULT_PIECE_BYTES))
            if not piece:
                return
            left -= len(piece)
            yield piece


def asked_range(request: HttpRequest, size: int, etag: str) -> ByteRange:
    """The bytes that a request asks for: all of them, unless it has one range.

    Several ranges, another unit and a `Range` for another version of the result are ignored, as
    RFC 9110 section 14.2 allows.

    Raises:
        Problem: 416 where the range begins after the end.
    """
    whole = ByteRange(0, size, size)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
    if asked is None or request.headers.get("If-Range", etag) != etag:
        return whole

    # Sizes have at most 19 digits; more would be slow to read.
    first, last = (digits[:19] for digits in asked.groups())
    if not first and not last:
        return whole

    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= size or stop <= start:
        raise Problem(
            416,
            f"the result has {size} bytes, and the range begins after them",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(start, stop, size)


def _client_has(request: HttpRequest, etag: str) -> bool:
    """Whether `If-None-Match` names the result, compared as RFC 9110 section 13.1.2 says."""
    asked = parse_etags(request.headers.get("If-None-Match", ""))
    return asked == ["*"] or etag in (each.removeprefix("W/") for each in asked)


def _etag(job: Job) -> str:
    # A final job's version never changes.
    return f'"{job.pk}-{job.version}"'


def _headers(job: Job) -> dict[str, str]:
    return {"Cache-Control": "private, no-transform", "ETag": _etag(job)}


def _head(job: Job, span: ByteRange) -> dict[str, Any]:
    size = str(span.stop - span.start)
    headers = {"Accept-Ranges": "bytes", "Content-Length": size, **_headers(job)}
    if span.partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{span.size}"
    return {
        "status": 206 if span.partial else 200,
        "content_type": "application/json",
        "headers": headers,
    }
