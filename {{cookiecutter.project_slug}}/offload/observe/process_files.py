"""Counts in files, so that one process can answer for all processes of its kind on a host.

The environment variable `PROMETHEUS_MULTIPROC_DIR` names a folder and turns this on: it is the
multiprocess mode of prometheus_client. Each process maps its files into memory, so a killed process
loses no count. Without the variable each process keeps its metrics in memory, and answers for
itself.

The library names the files after process ids, and keeps a dead process's files for ever. Here a
process takes a number instead: the lowest one that no living process has. It goes on counting in
the files of the last process with that number. So totals never fall, and there are never more files
than for the processes that ran at one time. The kernel holds the number (flock) and releases it
with the process, however that ends.
"""

import fcntl
import os
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.values import MultiProcessValue

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Processes of one kind on one host. It only ends a search that would never end.
MAX_PROCESSES = 4096


class ProcessNumber:
    """The number of this process in the folder, taken when it is first asked for."""

    def __init__(self) -> None:
        self._number: int | None = None
        # The handle that holds the lock.
        self._lock = -1
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self) -> int:
        """The number. prometheus_client asks at each count, under its lock."""
        if self._number is None:
            self._number = self._take()
        return self._number

    def _take(self) -> int:
        """Take the lowest free number, and remove what its last process said of itself alone.

        Raises:
            RuntimeError: `MAX_PROCESSES` processes have a number.
        """
        for number in range(MAX_PROCESSES):
            lock = _lock(number)
            if lock is not None:
                mark_process_dead(number)  # type: ignore[no-untyped-call]
                self._lock = lock
                return number
        raise RuntimeError(
            f"{MAX_PROCESSES} processes count in {folder()}: give each kind of process a folder of "
            f"its own with {FOLDER_VARIABLE}"
        )

    def _forget(self) -> None:
        """In a forked process: the number is the parent's, and so is the lock."""
        if self._number is not None:
            os.close(self._lock)
            self._number = None


def use() -> None:
    """Let every metric that is made from now on count in files, if the folder is named."""
    path = folder()
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        # The library's own way for servers that number their processes (its documentation has it
        # for uWSGI).
        values: Any = MultiProcessValue(ProcessNumber())  # type: ignore[no-untyped-call]
        prometheus_client.values.ValueClass = values


def folder() -> Path | None:
    """The folder; None where each process answers for itself."""
    found = os.environ.get(FOLDER_VARIABLE)
    return Path(found) if found else None


def remove_gauges_of_the_dead() -> None:
    """Remove the gauges of processes that have ended. Their counts and histograms stay."""
    found = folder()
    for path in found.glob("*.lock") if found else ():
        number = int(path.stem)
        lock = _lock(number)
        if lock is not None:
            # A process that starts at this moment takes another number.
            mark_process_dead(number)  # type: ignore[no-untyped-call]
            os.close(lock)


def _lock(number: int) -> int | None:
    """A handle that holds the lock of a number; None where a living process has it."""
    path = f"{folder()}/{number}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
