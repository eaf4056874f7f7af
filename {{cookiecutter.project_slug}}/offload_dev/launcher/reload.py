"""`python -m offload_dev.launcher.reload COMMAND…`: runs a process, and runs it anew when Python
code changes or it has died.

One that dies at its start would die again: it waits for a change.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from watchfiles import PythonFilter, watch

# Seconds a stopping process gets before it is killed; honcho kills this one after 5.
PATIENCE = 4.0
# Seconds; what fails sooner has failed at its start, by a mistake in the code.
START = 30.0
# Changed files are named up to so many.
NAMED = 3


def run(command: list[str]) -> int:
    """Run `command` until SIGTERM or SIGINT; returns its last exit status."""
    stopping = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    process, started = _start(command), time.monotonic()
    every_second: Any = {"rust_timeout": 1000, "yield_on_timeout": True}
    of_interest = PythonFilter(ignore_paths=[Path("tests").absolute()])
    # That it failed at its start.
    told = False
    for changes in watch(
        ".", watch_filter=of_interest, stop_event=stopping, raise_interrupt=False, **every_second
    ):
        status = process.poll()
        if changes:
            names = sorted(os.path.relpath(path) for _, path in changes)
            why, told = (
                f"{', '.join(names[:NAMED])}{' and more' * (len(names) > NAMED)} changed",
                False,
            )
        elif status is None or told:
            continue
        else:
            why = f"ended with status {status}"
            told = status > 0 and time.monotonic() - started < START
        print(  # noqa: T201
            f"{why}{' at its start: the next change starts' if told else ': starting'} it anew",
            flush=True,
        )
        if told:
            continue
        _end(process)
        process, started, told = _start(command), time.monotonic(), False
    return _end(process)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: whoever stops this process stops the other through it, with one signal,
    # once.
    return subprocess.Popen(command, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        # And any child that outlived it.
        os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    # It did as told.
    return 0 if status == -signal.SIGTERM else status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
