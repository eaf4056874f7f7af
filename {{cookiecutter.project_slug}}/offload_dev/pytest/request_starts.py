"""Finds threads, processes and pools that the service makes for one request."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.pool import Pool
from typing import Any
from weakref import WeakSet

from offload.guard.runtime import stacks
from offload_dev.pytest.watched_calls import (
    Method,
    calling_steps,
    complain_before,
    is_called_by_service,
)

POOLS = [
    (pool.__module__, pool.__qualname__) for pool in (ThreadPoolExecutor, ProcessPoolExecutor, Pool)
]
MAKING = [Method(*pool, "__init__") for pool in POOLS]
# A `with` block ends a pool of `concurrent.futures` by one of them, and one of `multiprocessing` by
# the other.
ENDING = [Method(*pool, name) for pool in POOLS for name in ("shutdown", "terminate")]
STARTING = (
    Method("threading", "Thread", "start"),
    Method("multiprocessing.process", "BaseProcess", "start"),
)
# The functions of the libraries between the line that makes or ends a pool and these methods.
BETWEEN = ("__exit__", "Pool")
POOL = "makes and ends a {} in one request: docs/guard/OFF204.md"
START = "starts a {} for one request: docs/guard/OFF505.md"


@contextmanager
def find_starts(found: list[str]) -> Iterator[None]:
    """Add a sentence for each pool that lives no longer than its request, and for each start.

    A pool that the process keeps may be made in its first request.
    """
    of_requests: WeakSet[Any] = WeakSet()

    def makes(pool: Any, *_: Any, **__: Any) -> None:
        if _is_called_in_request():
            of_requests.add(pool)

    def ends(pool: Any, *_: Any, **__: Any) -> str | None:
        ended = pool in of_requests and _is_called_in_request()
        return POOL.format(type(pool).__name__) if ended else None

    def starts(started: Any, *_: Any, **__: Any) -> str | None:
        return START.format(type(started).__name__) if _is_called_in_request() else None

    with (
        complain_before(MAKING, makes, found),
        complain_before(ENDING, ends, found),
        complain_before(STARTING, starts, found),
    ):
        yield


def _is_called_in_request() -> bool:
    """Whether the service itself calls, in a request."""
    steps = calling_steps(*BETWEEN)
    return is_called_by_service(steps) and stacks.find_request(steps) is not None
