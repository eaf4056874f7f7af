"""Sends SIGUSR1 to itself 200 times while other threads compute: run by test_runtime.py."""

import asyncio
import os
import signal
import threading

from offload.guard.runtime.stack_dump import dump_on_signal

SIGNALS = 200
SOURCE = "def added(n):\n    return [i + 1 for i in range(n)]\nadded(30)"


def compute(depth: int = 20) -> None:
    """Make and end frames, and code objects with them."""
    if depth:
        compute(depth - 1)
    exec(compile(SOURCE, "computed", "exec"), {})


def compute_for_ever() -> None:
    while True:
        compute()


async def main() -> None:
    for _ in range(3):
        threading.Thread(target=compute_for_ever, daemon=True).start()
    with dump_on_signal(asyncio.get_running_loop()):
        for _ in range(SIGNALS):
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.sleep(0.001)


asyncio.run(main())
os._exit(0)
