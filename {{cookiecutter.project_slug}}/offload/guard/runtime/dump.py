"""`kill -USR1 PID`: every thread's stack and every asyncio task with where it waits, on stderr."""

import asyncio
import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from offload.guard.runtime import stacks


@contextmanager
def on_signal(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Answer SIGUSR1 while this is open. Threads are written at once, even by a blocked loop; tasks
    soon after.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        # Only a main thread hears signals; a test's server runs in another.
        yield
        return
    before = signal.signal(signal.SIGUSR1, lambda *_: sys.stderr.write(tasks(loop)))
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


def tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Every task of a loop, with its request and the functions that it waits in, outermost first."""
    lines = []
    for task in sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name()):
        steps = stacks.waiting(task)
        lines.append(f"{task.get_name()}  {stacks.label(stacks.request(steps))}".rstrip())
        lines += [f"    {step}" for step in steps]
    return "\n".join([f"{len(asyncio.all_tasks(loop))} asyncio tasks:", *lines, ""])
