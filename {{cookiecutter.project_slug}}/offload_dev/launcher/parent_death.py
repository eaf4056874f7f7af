"""Ends a process when the one that has started it dies, also by `kill -9`. Only Linux can do so."""

import ctypes
import os
import signal
import sys

# Of linux/prctl.h.
PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int, signum: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal to this process as soon as its parent is dead.

    An `exec` keeps it, so this can be called between a fork and its `exec` (`preexec_fn`), by a
    process without other threads. "Parent" is the thread that has forked: fork in the main thread.

    Args:
        parent: the id of the parent, which may be dead already.
        signum: SIGKILL for a process that ignores SIGTERM.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)
