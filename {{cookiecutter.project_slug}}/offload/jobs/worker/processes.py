"""Looks at the worker's child processes, and signals them."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import billiard

# Seconds that a signalled process gets to stop or to end. Linux needs less than a millisecond; a
# process in an uninterruptible wait of the kernel may need longer, and is looked at again later.
SIGNAL_TIMEOUT_SECONDS = 1.0
# The kernel's letters for a process that is gone, and its word for one without an entry.
GONE = ("gone", "Z", "X")
# Those for a process that stands still after SIGSTOP: it is stopped; or it waits in the kernel, for
# example for a mount that hangs, and stops before it executes any more of its code.
STANDS_STILL = ("T", "D")


def process_is_alive(pid: int | None) -> bool:
    """Whether a process is this one, or a living child of it.

    A zombie is not, nor is somebody else's process that has got the number of a dead child, nor
    one that was killed and waits in the kernel: it executes no more of its code.
    """
    state, parent = _state_and_parent(pid)
    mine = pid == os.getpid() or parent in (None, os.getpid())
    return mine and state not in GONE and not (state == "D" and _was_killed(pid))


def signal_if(condition: Callable[[], bool], pid: int, number: int) -> bool:
    """Signal a process only if a condition holds while it stands still.

    Between a look at a process and a signal it could begin another job. So it is stopped, looked
    at again, and only then signalled. It always goes on afterwards. With a process that is killed,
    those that it has started are: nobody waits for them, and they would compute in vain.

    Returns:
        Whether the signal was sent.
    """
    # 0 would be this process's whole group.
    if not process_is_alive(pid) or pid == os.getpid():
        return False

    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            if not _wait_until(pid, *STANDS_STILL) or not condition():
                return False
            if number == signal.SIGKILL:
                _kill_descendants(pid)
            os.kill(pid, number)
        finally:
            os.kill(pid, signal.SIGCONT)

        if number == signal.SIGKILL:
            _wait_until(pid, *GONE)
        return True
    return False


def kill_children() -> None:
    """Kill this process's children, and theirs, and wait for their ends, a second at most."""
    pids = [child.pid for child in billiard.active_children() if child.pid]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            _kill_descendants(pid)
            os.kill(pid, signal.SIGKILL)
    for pid in pids:
        _wait_until(pid, *GONE)


def _kill_descendants(pid: int) -> None:
    """Kill what a stopped process has started, and what that has.

    All of them are stopped first: one that goes on could start more, and the children of one that
    has died are no longer found.
    """
    found = [pid]
    for each in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if each != pid:
                os.kill(each, signal.SIGSTOP)
            found += _children(each)
    for each in found[1:]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """The children of a process (man 5 proc_tid_children); none where the system does not tell."""
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            children += map(int, path.read_text().split())
    return children


def _wait_until(pid: int, *states: str) -> bool:
    deadline = time.monotonic() + SIGNAL_TIMEOUT_SECONDS
    while (state := _state_and_parent(pid)[0]) not in states:
        # macOS has no /proc and tells no state: it gets a moment.
        if state == "unknown" or time.monotonic() > deadline:
            time.sleep(0.01)
            return state == "unknown"
        time.sleep(0.001)
    return True


def _state_and_parent(pid: int | None) -> tuple[str, int | None]:
    """The kernel's letter for a process's state and its parent (man 5 proc_pid_stat).

    Two more states: `gone`, and `unknown` where the system has no /proc.
    """
    if not pid or pid < 0:
        return "gone", None
    try:
        os.kill(pid, 0)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (ProcessLookupError, PermissionError):
        return "gone", None
    except FileNotFoundError:
        return ("gone" if Path("/proc/self").exists() else "unknown"), None
    return fields[0], int(fields[1])


def _was_killed(pid: int | None) -> bool:
    """Whether a SIGKILL waits for a process: the two sets of signals of man 5 proc_pid_status."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$", status, re.MULTILINE)
    return any(int(signals, 16) & 1 << (signal.SIGKILL - 1) for signals in pending)
