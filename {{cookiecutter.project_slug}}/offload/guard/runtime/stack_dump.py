"""`kill -USR1 PID` prints every thread's stack and where every asyncio task waits, on stderr."""

import asyncio
import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from offload.guard.runtime import stacks


@contextmanager
def dump_on_signal(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Print all stacks at each SIGUSR1 while this context is open.

    The threads are printed at once, also while the loop is blocked; the tasks follow as soon as the
    main thread runs Python code again.
    """
    # Only a main thread receives signals; a server inside a test runs in another thread.
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return

    before = signal.signal(signal.SIGUSR1, lambda *_: sys.stderr.write(describe_tasks(loop)))
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Every task of a loop: its request, and the functions in which it waits, outermost first."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"{len(tasks)} asyncio tasks:"]

    for task in tasks:
        steps = stacks.of_task(task)
        label = stacks.request_label(stacks.find_request(steps))
        lines.append(f"{task.get_name()}  {label}".rstrip())
        lines += [f"    {step}" for step in steps]
    return "\n".join([*lines, ""])
