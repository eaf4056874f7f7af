"""Starts the threads that a worker can do without, where the system has no room for them."""

import logging
import threading

logger = logging.getLogger("offload.jobs")


def starts(thread: threading.Thread, *, otherwise: str) -> bool:
    """Start a thread.

    A worker's processes and threads, and all others of its user or its container, have one limit.
    Where it is reached, the end of a job and the end of the worker must go on.

    Args:
        otherwise: what happens without the thread, for the log.

    Returns:
        False where the system starts no more threads.
    """
    try:
        thread.start()
    except RuntimeError as error:
        logger.warning(
            "%s: %s. Raise the limit of processes (`ulimit -u`, or pids.max of the container)",
            otherwise,
            error,
        )
        return False
    return True
