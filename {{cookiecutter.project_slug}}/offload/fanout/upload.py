"""Upload: a large request body, sent in pieces, such as the files of a form."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

# Bytes of a file that are read, in a thread, and sent at a time.
UPLOAD_PIECE_BYTES = 256 * 1024
# A form's names and file names may hold anything but these (HTML, "multipart/form-data encoding").
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


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


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a form; its content is bytes, or an `Upload` that is sent in pieces."""

    filename: str
    content: bytes | Upload = field(repr=False)
    content_type: str = "application/octet-stream"


def multipart(
    fields: Mapping[str, str] | None = None, files: Mapping[str, FilePart] | None = None
) -> Upload:
    """The body of a form (RFC 7578): `upstream.request("POST", path, body=multipart(...))`."""
    boundary = token_hex(16)
    parts: list[bytes | Upload] = []
    for name, value in (fields or {}).items():
        parts += [_head(boundary, name), value.encode()]
    for name, file in (files or {}).items():
        parts += [_head(boundary, name, file), file.content]
    parts.append(f"\r\n--{boundary}--\r\n".encode())

    lengths = [part.length if isinstance(part, Upload) else len(part) for part in parts]
    known = [length for length in lengths if length is not None]
    return Upload(
        lambda: _pieces(parts),
        sum(known) if len(known) == len(lengths) else None,
        f"multipart/form-data; boundary={boundary}",
    )


def _head(boundary: str, name: str, file: FilePart | None = None) -> bytes:
    disposition = f'form-data; name="{name.translate(_ESCAPED)}"'
    lines = [f"\r\n--{boundary}"]
    if file:
        disposition += f'; filename="{file.filename.translate(_ESCAPED)}"'
        # Line ends would begin a header of their own.
        lines.append(f"Content-Type: {file.content_type.translate(_ESCAPED)}")
    lines += [f"Content-Disposition: {disposition}", "", ""]
    return "\r\n".join(lines).encode()


async def _pieces(parts: list[bytes | Upload]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Upload):
            async for piece in part.pieces():
                yield piece
        elif part:
            yield part
