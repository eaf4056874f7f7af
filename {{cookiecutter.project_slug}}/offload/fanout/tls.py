"""TLS: the certificates of an upstream, read again when their files change."""

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# For each file: inode, size in bytes, and time of the last change in nanoseconds.
Stamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class TlsFiles:
    """The files that a TLS context is made of, all in PEM format.

    Attributes:
        ca_file: certificates to trust; `None` is the system's.
        cert_file: the certificate by which this service identifies itself (mTLS), with its chain.
        key_file: the key of that certificate, without a password; `None` if it is in `cert_file`.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def stamps(self) -> Stamps:
        """What changes with the files. Blocks; raises `OSError` if a file is not there."""
        trusted = self.ca_file or ssl.get_default_verify_paths().cafile
        files = [file for file in (trusted, self.cert_file, self.key_file) if file]
        stats = [Path(file).stat() for file in files]
        return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


async def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """The TLS context of these files as they are now.

    It is made in a thread, because reading the system's certificates takes some 40 ms, and shared
    by all upstreams with the same files. Raises `OSError` (`ssl.SSLError` is one) if a file cannot
    be read.
    """
    return await asyncio.to_thread(_current, files)


def _current(files: TlsFiles) -> ssl.SSLContext:
    return _make(files, files.stamps())


@lru_cache(64)
def _make(files: TlsFiles, _: Stamps) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file:
        # Without a password of ours, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.cert_file, files.key_file, password="")
    return context
