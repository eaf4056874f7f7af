"""`python -m offload.dev.reload COMMAND…`: runs a worker, and runs it anew when Python code changes or it has died."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any

from watchfiles import PythonFilter, watch

PATIENCE = 4.0  # seconds a stopping worker gets before it is killed; honcho kills this process after 5


def run(command: list[str]) -> int:
    """Run `command` until SIGTERM or SIGINT; returns its last exit status."""
    stopping = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    process = _start(command)
    every_second: Any = {"rust_timeout": 1000, "yield_on_timeout": True}
    for changes in watch(".", watch_filter=PythonFilter(), stop_event=stopping, raise_interrupt=False, **every_second):
        if changes:
            print(f"{len(changes)} file(s) changed: the worker starts anew", flush=True)  # noqa: T201
        elif process.poll() is not None:
            print(f"the worker ended with status {process.returncode}: it starts anew", flush=True)  # noqa: T201
        else:
            continue
        _end(process)
        process = _start(command)
    return _end(process)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: whoever stops this process stops the worker through it, with one signal, once.
    return subprocess.Popen(command, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and any child that outlived it
    return process.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
