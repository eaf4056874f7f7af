"""What the lab's jobs compute: real work, and every way to die of it. Each execution writes itself
down.
"""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

Report = Callable[..., None]


def _note(log: str, line: str) -> None:
    # O_APPEND: lines of several processes never mix.
    with Path(log).open("a") as file:
        file.write(f"{line} {os.getpid()}\n")


def wait_for(gate: str, report: Report) -> None:
    """Wait until there is such a file, reporting; an empty name waits for nothing."""
    while gate and not Path(gate).exists():
        report(0.5, "at the gate")
        time.sleep(0.01)


def burn(log: str, units: int, report: Report, gate: str = "") -> int:
    """Some 10 ms of pure Python a unit, reporting; then wait at the gate."""
    _note(log, "start")
    total = 0
    for unit in range(units):
        report(unit / units, f"unit {unit}")
        total += sum(i * i for i in range(100_000)) % 7
    wait_for(gate, report)
    _note(log, "end")
    return total


def note_and_wait(log: str, name: str, gate: str, seconds: float) -> int:
    """Write the name into a log that many jobs share; wait for a file, and for some time. With
    `stumble` in its name, the first attempt fails.
    """
    text = Path(log).read_text() if Path(log).exists() else ""
    _note(log, f"start {name} {time.time():.3f}")
    if "stumble" in name and f"start {name} " not in text:
        _note(log, f"end {name}")
        raise ConnectionError("the disk is away for a moment")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    time.sleep(seconds)
    _note(log, f"end {name}")
    return 1


def hold_the_gil(log: str, seconds: int, report: Report) -> int:
    """One call into C that never reports, never lets go of the GIL, and is ended by no signal that
    Python handles.
    """
    _note(log, "start")
    # It waits for a lock that this thread holds. PyDLL keeps the GIL, as a C library that computes.
    libc, mutex = ctypes.PyDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_timedlock(mutex, (ctypes.c_long * 2)(int(time.time()) + seconds, 0))
    _note(log, "end")
    return seconds


def silent(log: str, units: int, report: Report, gate: str = "") -> int:
    """The same without a report."""
    return burn(log, units, lambda *_: None, gate)


def die(log: str, way: str, report: Report) -> int:
    """End the process, or worse."""
    _note(log, "start")
    match way:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill the group":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        case "os._exit":
            os._exit(7)
        case "sys.exit":
            sys.exit(3)
        case "segfault":
            # Writing a core can take longer than the time limit.
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            ctypes.string_at(0)
        case "MemoryError":
            raise MemoryError
        case "allocate":
            return len(bytearray(8 * 2**30))
        case "swallow the soft limit":
            while True:
                try:
                    # A loop of its own: Python also raises where a loop begins anew.
                    while True:
                        sum(range(100_000))
                except Exception:
                    _note(log, "swallowed")
    time.sleep(30)
    return 0


def fork(log: str, way: str, report: Report) -> int:
    """Fork, and come back from it twice. Returns the status of the forked process."""
    _note(log, "start")
    child = os.fork()
    if child:
        for share in range(20):
            report(share / 20, "the job")
            time.sleep(0.05)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    match way:
        case "fork and exit":
            sys.exit(7)
        case "fork and fail":
            raise ValueError("the forked process has failed")
        case "fork and report":
            for share in range(20):
                report(share / 20, "its child")
                time.sleep(0.05)
    return 99


def leak_descriptors() -> None:
    """Open files until the process may open no more."""
    files = 128
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)


def open_transaction(way: str) -> None:
    """Begin a transaction and do not end it."""
    from django.db import connection, transaction

    if "autocommit" in way:
        transaction.set_autocommit(False)
    elif "SQL" in way:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
    else:
        transaction.atomic().__enter__()
    if "fail" in way:
        raise ValueError("the input is wrong")


def stumble(log: str, times: int) -> int:
    """Fail `times` times with an error worth another attempt, then succeed."""
    _note(log, "start")
    starts = len(Path(log).read_text().splitlines())
    if starts <= times:
        raise ConnectionError("the disk is away for a moment")
    return starts


def step(log: str, number: int, accident: str) -> None:
    """Write a step down. The first time at step 3 there is an accident."""
    path = Path(log)
    happened = path.exists() and "accident" in path.read_text()
    if number == 3 and accident and not happened:
        _note(log, "accident")
        if accident == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ConnectionError("the disk is away for a moment")
    _note(log, f"step-{number}")


def read(log: str, path: str) -> int:
    """Read a file."""
    _note(log, "start")
    return len(Path(path).read_bytes())


def start_others(log: str) -> None:
    """Start a process that ignores SIGTERM, and two of its own. Never end."""
    _note(log, "start")
    script = f"trap '' TERM; tail -f '{log}' & tail -f '{log}' & wait"
    subprocess.Popen(["sh", "-c", script], start_new_session=True, stdout=subprocess.DEVNULL)
    while True:
        with contextlib.suppress(Exception):
            time.sleep(1)


def change_process(way: str) -> None:
    """Change what all jobs of the process share."""
    from django.utils import timezone, translation

    match way:
        case "directory":
            os.chdir("/")
        case "umask":
            os.umask(0o777)
        case "timer":
            signal.setitimer(signal.ITIMER_REAL, 2.0)
        case "language":
            translation.activate("de")
            timezone.activate("Asia/Tokyo")


def describe_process() -> str:
    """What they share."""
    from django.utils import timezone, translation

    mask = os.umask(0o077)
    os.umask(mask)
    zone = timezone.get_current_timezone_name()
    return f"{Path.cwd()} {mask:o} {translation.get_language()} {zone}"


def change_session(statement: str) -> None:
    """Execute a statement."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
