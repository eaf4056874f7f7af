"""`kill -USR1 PID` prints every thread's stack and where every asyncio task waits, on stderr."""

import asyncio
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from offload.guard.runtime import stacks

STDERR = 2


@contextmanager
def dump_on_signal(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Print all stacks at each SIGUSR1 while this context is open.

    The main thread is printed at once, also while it is in a call into C. All threads and tasks
    follow as soon as the main thread runs Python code again.
    """
    # Only a main thread receives signals; a server inside a test runs in another thread.
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return

    def dump(_: int, interrupted: FrameType | None) -> None:
        write(describe_threads(interrupted) + describe_tasks(loop))

    before = signal.signal(signal.SIGUSR1, dump)
    # Not all threads: faulthandler reads their frames while they run, without the GIL. With three
    # busy threads that ended the process with SIGSEGV within 35 signals (CPython 3.11).
    faulthandler.register(signal.SIGUSR1, all_threads=False, chain=True)
    try:
        yield
    finally:
        faulthandler.unregister(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


def write(text: str) -> None:
    """Write to stderr; also in a signal handler that interrupted another write to it."""
    os.write(STDERR, text.encode(errors="backslashreplace"))


def describe_threads(interrupted: FrameType | None = None) -> str:
    """Every thread, and the functions that it runs, outermost first.

    Args:
        interrupted: the frame of this thread that a signal handler interrupted, if it is one that
            asks.
    """
    others = stacks.frames_of_other_threads()
    names = {thread.ident: thread.name for thread in threading.enumerate()}

    lines = [f"{len(others) + 1} threads:", threading.current_thread().name]
    # Of this thread no frame is kept in a variable: see `frames_of_other_threads`.
    lines += _lines(stacks.of_thread(interrupted or sys._getframe()))  # noqa: SLF001 - documented
    for thread, frame in others.items():
        lines.append(names.get(thread, f"thread {thread}"))
        lines += _lines(stacks.of_thread(frame))
    return "\n".join([*lines, ""])


def _lines(steps: list[stacks.Step]) -> list[str]:
    return [f"    {step}" for step in steps]


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Every task of a loop: its request, and the functions in which it waits, outermost first."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines = [f"{len(tasks)} asyncio tasks:"]

    for task in tasks:
        steps = stacks.of_task(task)
        label = stacks.request_label(stacks.find_request(steps))
        lines.append(f"{task.get_name()}  {label}".rstrip())
        lines += _lines(steps)
    return "\n".join([*lines, ""])
