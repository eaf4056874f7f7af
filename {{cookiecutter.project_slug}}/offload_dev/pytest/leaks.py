"""What a test leaves behind: tasks that still run, threads that still live, clients that are still
open.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import thread as pools
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import Any
from unittest.mock import patch

from offload.guard.runtime import stacks

# Seconds for what is ending already; only a test that leaves something waits at all.
GRACE = 0.5
CLIENTS = (
    ("httpx", "AsyncClient", "is_closed"),
    ("httpx", "Client", "is_closed"),
    ("aiohttp", "ClientSession", "closed"),
)


async def tasks(before: set[asyncio.Task[Any]]) -> list[str]:
    """A sentence for each task that was not there before, and does not end by itself now."""
    until = monotonic() + GRACE
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if monotonic() > until:
            break
        await asyncio.sleep(0.005)
    return [
        f"task {task.get_name()} is left running at {stacks.place(stacks.waiting(task))}"
        for task in left
    ]


@contextmanager
def threads_and_clients() -> Iterator[Callable[[], list[str]]]:
    """Notes where threads and HTTP clients are made; the function it gives says which of them are
    left.
    """
    made: list[tuple[Any, str, str]] = []

    def noting(cls: type, method: str, closed: str) -> Any:
        original = getattr(cls, method)

        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            made.append((self, closed, str(stacks.place(stacks.here()))))
            return original(self, *args, **kwargs)

        return patch.object(cls, method, noted)

    def left() -> list[str]:
        until = monotonic() + GRACE
        while (
            open_now := [item for item in made if _is_open(item[0], item[1])]
        ) and monotonic() < until:
            sleep(0.005)
        return [f"{place} left a {type(thing).__name__} open" for thing, _, place in open_now]

    with ExitStack() as stack:
        stack.enter_context(noting(threading.Thread, "start", ""))
        for module, name, closed in CLIENTS:
            if module in sys.modules:
                stack.enter_context(noting(getattr(sys.modules[module], name), "__init__", closed))
        yield left


def _is_open(thing: Any, closed: str) -> bool:
    if not isinstance(thing, threading.Thread):
        return not getattr(thing, closed)
    by_design = thing in pools._threads_queues or thing.name.startswith("offload-")  # noqa: SLF001 - pools live on
    return thing.is_alive() and not by_design
