"""Limits the memory of one job."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def memory_limit(limit: int) -> Iterator[None]:
    """Let the process have `limit` bytes of private data more than now.

    Beyond them Python raises `MemoryError`. What earlier jobs have left in the process does not
    count. RLIMIT_DATA counts private writable mappings since Linux 4.7 (man 2 getrlimit). Other
    systems have no such limit; there only the container's limit holds.
    """
    if sys.platform != "linux":
        yield
        return

    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = _data_bytes() + limit
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)

    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """The process's private data and stack now (man 5 proc_pid_statm, the sixth field)."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * os.sysconf("SC_PAGE_SIZE")
