"""Keeps what a job's function leaves behind in its process from its end, and from the next job.

It may leave a process that it has forked, a transaction that it has not ended, and files that it
has not closed.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from typing import Any

from django.db import connections

from offload.jobs.errors import JobError
from offload.jobs.models import Job

logger = logging.getLogger("offload.jobs")

# File descriptors that a job and the libraries of the database and the broker need at the least.
MIN_FREE_DESCRIPTORS = 16

# What forked processes have inherited. It is kept, since a connection that is closed in the one
# process is of no use in the other.
_inherited: list[Any] = []


@contextlib.contextmanager
def only_this_process(job: Job) -> Iterator[None]:
    """End a process that the block has forked and that comes out of it, as at its `sys.exit()`.

    It would write the job's end, and take the next job, beside the process that has forked it.
    """
    pid, fault = os.getpid(), None
    try:
        yield
    except BaseException as error:
        fault = error
        raise
    finally:
        if os.getpid() != pid:
            _end_forked(job, fault)


@contextlib.contextmanager
def no_open_transaction() -> Iterator[None]:
    """Undo a transaction that the block has begun and not ended.

    The end of the job, and all later jobs of this process, would be within it, and never committed.

    Raises:
        JobError: there was one, and the block has raised no error itself.
    """
    try:
        yield
    finally:
        was_open = _close_transactions()
    if was_open:
        raise JobError(
            "its function has begun a transaction of the database and has not ended it: what it "
            "wrote is undone. Write `with transaction.atomic():`"
        )


def forget_connections(**_: Any) -> None:
    """In a forked process: connect anew. Two processes would read each other's answers."""
    for connection in connections.all(initialized_only=True):
        _inherited.append(connection.connection)
        del connections[connection.alias]


def end_without_descriptors() -> None:
    """End this process if jobs have left hardly a file descriptor free.

    The next job would fail for what an earlier one has not closed, and a process that cannot
    connect to the database any more would wait for it without end. The pool starts another one.
    """
    taken: list[int] = []
    try:
        while len(taken) < MIN_FREE_DESCRIPTORS:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        # Where the whole system has none left, another process would be no better.
        if error.errno == errno.EMFILE:
            logger.error(
                "a job has left open nearly all files that a process may have open (`ulimit -n`): "
                "this process ends, and another one takes its place. Which job type closes no "
                "files or connections?"
            )
            os._exit(1)
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _end_forked(job: Job, fault: BaseException | None) -> None:
    status = 0
    try:
        if isinstance(fault, SystemExit):
            code = fault.code
            status = code & 0xFF if isinstance(code, int) else int(code is not None)
        else:
            status = int(fault is not None)
            logger.warning(
                "job %s: a process that its function has forked came out of the function, and ends "
                "now with %s. Call os._exit() at its end, or use multiprocessing",
                job.pk,
                status,
                exc_info=fault,
                extra=job.log_fields(),
            )
    finally:
        os._exit(status)


def _close_transactions() -> bool:
    """Close this thread's connections that are within a transaction. Whether there were any."""
    found = [each for each in connections.all(initialized_only=True) if _in_transaction(each)]
    for connection in found:
        connection.close()
        # Django would refuse a new connection within the block that is open.
        del connections[connection.alias]
    return bool(found)


def _in_transaction(connection: Any) -> bool:
    if connection.in_atomic_block:
        return True
    if connection.connection is None:
        return False
    if not connection.autocommit:
        return True
    # A BEGIN in plain SQL, of which Django knows nothing.
    if connection.vendor == "postgresql":
        return connection.connection.info.transaction_status.name in ("INTRANS", "INERROR")
    return bool(getattr(connection.connection, "in_transaction", False))
