"""Finds what a test leaves behind: running tasks, living threads, open HTTP clients."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import process as process_pools
from concurrent.futures import thread as thread_pools
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import Any, NamedTuple
from unittest.mock import patch

from offload.guard.runtime import stacks

# What ends by itself within this time is no leak. Only a test that leaves something waits at all.
GRACE_SECONDS = 0.5
INTERVAL_SECONDS = 0.005
# The standard's threads, and those that write to the processes of a pool.
OTHERS_END_THEM = ("offload-", "QueueFeederThread")
# Module, class, and the attribute that says whether a client is closed.
CLIENTS = (
    ("httpx", "AsyncClient", "is_closed"),
    ("httpx", "Client", "is_closed"),
    ("aiohttp", "ClientSession", "closed"),
)


class Made(NamedTuple):
    """A thread or a client, the line that made it, and the attribute that says it is closed."""

    made: Any
    closed: str
    place: str

    def is_open(self) -> bool:
        if not isinstance(self.made, threading.Thread):
            return not getattr(self.made, self.closed)
        return self.made.is_alive() and not _is_kept_by_a_pool(self.made)


def _is_kept_by_a_pool(thread: threading.Thread) -> bool:
    """Whether a pool keeps a thread for its threads or processes, or the standard ends its own."""
    # There is no public list of them.
    of_pools = (thread_pools._threads_queues, process_pools._threads_wakeups)  # noqa: SLF001
    return thread.name.startswith(OTHERS_END_THEM) or any(thread in each for each in of_pools)


async def find_tasks(before: set[asyncio.Task[Any]]) -> list[str]:
    """A sentence for each task that is not among those before and does not end by itself."""
    until = monotonic() + GRACE_SECONDS
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if monotonic() > until:
            break
        await asyncio.sleep(INTERVAL_SECONDS)

    sentences = []
    for task in left:
        step = stacks.responsible_step(stacks.of_task(task))
        sentences.append(f"task {task.get_name()} is left running at {step}")
    return sentences


@contextmanager
def note_threads_and_clients(made: list[Made]) -> Iterator[None]:
    """Note where threads and HTTP clients are made while this context is open."""
    with ExitStack() as stack:
        stack.enter_context(_noting(made, threading.Thread, "start", closed=""))
        for module, name, closed in CLIENTS:
            if module in sys.modules:
                client = getattr(sys.modules[module], name)
                stack.enter_context(_noting(made, client, "__init__", closed))
        yield


def still_open(made: list[Made]) -> list[str]:
    """A sentence for each of these that does not end by itself.

    To be asked after the fixtures of the test: one may close what the test has made.
    """
    until = monotonic() + GRACE_SECONDS
    while (left := [each for each in made if each.is_open()]) and monotonic() < until:
        sleep(INTERVAL_SECONDS)
    return [f"{each.place} left a {type(each.made).__name__} open" for each in left]


def _noting(made: list[Made], cls: type, method: str, closed: str) -> Any:
    """A patch that notes each call of a method, with the line that calls it.

    A thread of a library that starts others is not the test's, such as a server with one for each
    connection.
    """
    original = getattr(cls, method)

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        step = stacks.responsible_step(stacks.of_this_thread())
        if step is not None and stacks.is_service_code(step):
            made.append(Made(self, closed, str(step)))
        return original(self, *args, **kwargs)

    return patch.object(cls, method, noted)
