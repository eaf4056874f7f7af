"""Limits the memory of one job."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def memory_limit(limit: int) -> Iterator[None]:
    """Let the process have `limit` bytes of private data; beyond it Python raises `MemoryError`.

    RLIMIT_DATA counts private writable mappings since Linux 4.7 (man 2 getrlimit). Other systems
    have no such limit; there only the container's limit holds.
    """
    if sys.platform != "linux":
        yield
        return

    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
