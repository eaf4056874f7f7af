"""Sends a file in pieces, which a thread reads one after the other."""

from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.http import FileResponse
from django.http.response import HttpResponseBase

# A client that reads slowly holds one of them, and the transport's buffer (64 KiB) holds another.
PIECE_BYTES = 64 * 1024


def read_in_pieces(response: HttpResponseBase) -> None:
    """Let a `FileResponse` be read as fast as its client reads.

    Under ASGI Django reads a file to its end first (`StreamingHttpResponse.__aiter__`): ten
    downloads of 2 GB would take 20 GB of memory.
    """
    file = response.file_to_stream if isinstance(response, FileResponse) else None
    if file is not None:
        # Django closes it with the response.
        response.streaming_content = _pieces(file)  # type: ignore[attr-defined]


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    # Any thread may read it: the client may take hours, and the request's own would be held.
    read = sync_to_async(file.read, thread_sensitive=False)
    while piece := await read(PIECE_BYTES):
        yield piece
