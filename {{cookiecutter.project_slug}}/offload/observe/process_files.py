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
import struct
from pathlib import Path
from typing import Any

import prometheus_client.values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import MultiProcessValue

from offload.observe.no_fork import NO_FORK

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Processes of one kind on one host. It only ends a search that would never end.
MAX_PROCESSES = 4096


class ProcessNumber:
    """The number of this process in the folder, taken when it is first asked for."""

    def __init__(self) -> None:
        self._number: int | None = None
        # The number of the process that has forked this one. The library would go on in that one's
        # files. The lock does not say so where the folder was removed meanwhile.
        self._parents: int | None = None
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
        make_folder()
        for number in range(MAX_PROCESSES):
            lock = _lock(number) if number != self._parents else None
            if lock is not None:
                mark_process_dead(number)  # type: ignore[no-untyped-call]
                _remove_damaged(number)
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
            self._parents, self._number = self._number, None


def use() -> None:
    """Let every metric that is made from now on count in files, if the folder is named.

    Raises:
        SystemExit: no files can be made there.
    """
    if folder() is not None:
        try:
            # The library's own way for servers that number their processes (its documentation has
            # it for uWSGI).
            values: Any = MultiProcessValue(ProcessNumber())  # type: ignore[no-untyped-call]
        except OSError as error:
            raise SystemExit(
                f"The metrics cannot be counted in {folder()} ({error.strerror}): name a folder "
                f"that this process can write with {FOLDER_VARIABLE}, or unset it."
            ) from error
        prometheus_client.values.ValueClass = values


def folder() -> Path | None:
    """The folder; None where each process answers for itself."""
    found = os.environ.get(FOLDER_VARIABLE)
    return Path(found) if found else None


def make_folder() -> None:
    """Make the folder. It may be removed at any time, and the counts in it are lost then."""
    found = folder()
    if found is not None:
        found.mkdir(parents=True, exist_ok=True)


def remove_gauges_of_the_dead() -> None:
    """Remove the gauges of processes that have ended. Their counts and histograms stay."""
    found = folder()
    for path in found.glob("[0-9]*.lock") if found else ():
        number = int(path.stem)
        with NO_FORK:
            lock = _lock(number)
            if lock is not None:
                # A process that starts at this moment takes another number.
                mark_process_dead(number)  # type: ignore[no-untyped-call]
                os.close(lock)


def is_whole(path: Path) -> bool:
    """Whether the library can read a file, and go on in it.

    Not so after a power cut, on a full disk, or where another version of the library wrote it.
    """
    try:
        MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]
        data = path.read_bytes()
        used: int = struct.unpack_from("i", data)[0]
    except Exception:  # noqa: BLE001  # whatever the library does with such bytes
        return False
    return 0 <= used <= len(data)


def _remove_damaged(number: int) -> None:
    found = folder()
    # The library writes the number after the last underscore.
    for path in found.glob(f"*_{number}.db") if found else ():
        if not is_whole(path):
            path.unlink(missing_ok=True)


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
