"""Upload: a large request body, sent in pieces."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

# Bytes of a file that are read, in a thread, and sent at a time.
UPLOAD_PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is not held in memory: `upstream.request("PUT", path, body=Upload(...))`.

    Its call needs more time than others: see `Call.with_limits`.

    Attributes:
        pieces: called for each attempt, so that a retry sends the whole body again.
        length: bytes of the whole body; `None` if nobody knows. Then it is sent chunked, which some
            servers refuse.
        content_type: sent as Content-Type, unless the call's headers have one.
    """

    pieces: Callable[[], AsyncIterable[bytes]] = field(repr=False)
    length: int | None = None
    content_type: str = "application/octet-stream"

    @classmethod
    async def of_file(
        cls, path: Path | str, content_type: str = "application/octet-stream"
    ) -> "Upload":
        """The content of a file, read in a thread; raises `OSError` if it is not there."""
        file = Path(path)
        stat = await asyncio.to_thread(file.stat)
        return cls(lambda: _read(file), stat.st_size, content_type)

    def headers(self) -> dict[str, str]:
        """The headers that describe this body."""
        found = {"Content-Type": self.content_type}
        return found if self.length is None else found | {"Content-Length": str(self.length)}


async def _read(path: Path) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while piece := await asyncio.to_thread(file.read, UPLOAD_PIECE_BYTES):
            yield piece
    finally:
        file.close()
