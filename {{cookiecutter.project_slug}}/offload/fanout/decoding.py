"""Decodes what an upstream sends, in bounded steps, and knows whether it was whole."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from .http import httpx

# What is asked for, and read. aiohttp's own decoders take a gzip body without its end for a whole
# one, and wait for ever for the end of a deflate body. Brotli and zstd would have the first fault.
ACCEPT_ENCODING = "gzip, deflate"
GZIP = frozenset({"gzip", "x-gzip"})
# What is decoded here, or by httpx itself, which has no bound: a stream of a megabyte that was
# compressed twice was a piece of a gigabyte.
DECODABLE = GZIP | {"deflate", "br", "zstd"}

# The decompressor is given this much at once. It may be 200 members of a gzip file.
DECODED_AT_ONCE_BYTES = 4 * 1024
# And returns so much at once.
MAX_PIECE_BYTES = 64 * 1024
# The method in the first byte of zlib's frame (RFC 1950).
ZLIB_METHOD = 8


class Decoder:
    """Decodes one body.

    Args:
        encodings: those of its Content-Encoding, in their order.
    """

    def __init__(self, encodings: list[str]) -> None:
        self._encodings = encodings
        # zlib's object, whose class has no public name; None until something came.
        self._inflater: Any = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        """What the data holds, in pieces, of which some are empty: others may have a turn then.

        Raises `httpx.RemoteProtocolError` if it cannot be read.
        """
        for start in range(0, len(data), DECODED_AT_ONCE_BYTES):
            rest = data[start : start + DECODED_AT_ONCE_BYTES]
            piece = b""
            # A full piece: there may be more in the decompressor.
            while rest or len(piece) == MAX_PIECE_BYTES:
                inflater = self._inflater_for(rest)
                try:
                    piece = inflater.decompress(rest, MAX_PIECE_BYTES)
                except zlib.error as error:
                    raise self._unreadable("cannot be read") from error
                rest = inflater.unconsumed_tail or inflater.unused_data
                yield piece

    def end(self) -> None:
        """Nothing more comes. Raises `httpx.RemoteProtocolError` if the body was not whole.

        A body of nothing at all is whole, too: the answer to a HEAD has none.
        """
        if self._inflater and not self._inflater.eof:
            raise self._unreadable("has no end")

    def _inflater_for(self, data: bytes) -> Any:
        if len(self._encodings) > 1 or self._encodings[0] not in GZIP | {"deflate"}:
            raise self._unreadable("was not asked for")
        # Behind a whole member there may be another one (RFC 1952, section 2.2).
        if self._inflater is None or (self._inflater.eof and data):
            self._inflater = zlib.decompressobj(self._window_bits(data))
        return self._inflater

    def _window_bits(self, data: bytes) -> int:
        if self._encodings[0] in GZIP:
            return 16 + zlib.MAX_WBITS
        # Some servers send deflate without the frame that HTTP asks for.
        has_frame = data[0] & 0xF == ZLIB_METHOD
        return zlib.MAX_WBITS if has_frame else -zlib.MAX_WBITS

    def _unreadable(self, fault: str) -> httpx.RemoteProtocolError:
        encoding = ", ".join(self._encodings)
        return httpx.RemoteProtocolError(
            f"Not a whole HTTP response: its body ({encoding:.50}) {fault}"
        )


def decoder_for(fields: Iterable[str]) -> Decoder | None:
    """What decodes a body with these Content-Encoding fields.

    None where there is nothing to decode, such as with the `utf-8` that some servers send.
    """
    named = [each.strip().lower() for field in fields for each in field.split(",")]
    encodings = [each for each in named if each not in ("", "identity")]
    return Decoder(encodings) if DECODABLE.intersection(encodings) else None
