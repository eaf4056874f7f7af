"""Multipart: fields and files in one request body, as an HTML form sends them (RFC 7578)."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from secrets import token_hex

from .upload import Upload

# A form's names and file names may hold anything but these (HTML, "multipart/form-data encoding").
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of a form; its content is bytes, or an `Upload` that is sent in pieces."""

    filename: str
    content: bytes | Upload = field(repr=False)
    content_type: str = "application/octet-stream"


def multipart(
    fields: Mapping[str, str] | None = None, files: Mapping[str, FilePart] | None = None
) -> Upload:
    """The body of a form: `upstream.request("POST", path, body=multipart(...))`."""
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
