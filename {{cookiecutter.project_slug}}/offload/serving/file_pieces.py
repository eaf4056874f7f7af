"""Sends a file in pieces, which a thread reads one after the other."""

import sys
from collections.abc import AsyncIterator
from typing import Any

from django.http import FileResponse
from django.http.response import HttpResponseBase

from offload.serving.file_threads import in_file_thread

# A client that reads slowly holds one of them, and the transport's buffer (64 KiB) holds another.
PIECE_BYTES = 64 * 1024


def read_in_pieces(response: HttpResponseBase) -> None:
    """Let a `FileResponse` be read as fast as its client reads.

    Under ASGI Django reads a file to its end first (`StreamingHttpResponse.__aiter__`): ten
    downloads of 2 GB would take 20 GB of memory.
    """
    file = response.file_to_stream if isinstance(response, FileResponse) else None
    if file is not None:
        length = response.headers.get("Content-Length", "")
        # Django closes it with the response.
        response.streaming_content = _pieces(  # type: ignore[attr-defined]
            file, int(length) if length.isdecimal() else sys.maxsize
        )


async def _pieces(file: Any, length: int) -> AsyncIterator[bytes]:
    """The first `length` bytes: the file may have grown since its response was made."""
    # The client may take hours, for which the request's own thread would be held.
    read = in_file_thread(file.read)
    left = length
    while left > 0 and (piece := await read(min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece
