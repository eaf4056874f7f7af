"""Keeps what a job's function leaves behind in its process from its end, and from the next job.

It may leave a process that it has forked, a transaction that it has not ended, files that it has
not closed, settings of its database session, and another current directory. More is not undone,
such as an environment variable: a module that it has imported first may have set it for all jobs.
"""

import contextlib
import errno
import logging
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

from django.db import connections
from django.utils import timezone, translation

from offload.jobs.errors import JobError
from offload.jobs.models import Job

logger = logging.getLogger("offload.jobs")

# File descriptors that a job and the libraries of the database and the broker need at the least.
MIN_FREE_DESCRIPTORS = 16

# Statements that change a session of the database for longer than a transaction.
SESSION_STATEMENT = re.compile(
    r"(?:^|;)\s*(?:/\*.*?\*/\s*)*"
    r"(?:SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)|LISTEN\b|PREPARE\b|PRAGMA\b|ATTACH\b"
    r"|CREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP)"
    r"|\bpg_(?:try_)?advisory_lock|\bset_config\s*\(",
    re.IGNORECASE | re.DOTALL,
)

# What forked processes have inherited. It is kept, since a connection that is closed in the one
# process is of no use in the other.
_inherited: list[Any] = []


@contextlib.contextmanager
def nothing_left_behind(job: Job) -> Iterator[None]:
    """Run the function of a job within all of the following blocks.

    Raises:
        JobError: as `no_open_transaction`.
    """
    with (
        unchanged_process(),
        no_open_transaction(),
        own_database_session(),
        only_this_process(job),
    ):
        yield


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
def unchanged_process() -> Iterator[None]:
    """Undo what the block has changed of the process, where it would harm the next job.

    That is its current directory, its umask, a timer, which kills by SIGALRM, and the language and
    the time zone that Django has for this thread.
    """
    directory, mask = _directory(), os.umask(0o077)
    os.umask(mask)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.umask(mask)
        if directory is not None and _directory() != directory:
            with contextlib.suppress(OSError):
                os.chdir(directory)
        translation.deactivate()
        timezone.deactivate()


@contextlib.contextmanager
def own_database_session() -> Iterator[None]:
    """Close the connections whose sessions the block has changed, by a SET for example.

    The end of the job would be written, and the next job compute, with its settings: in another
    schema, as another role or tenant, with another time limit, or with its advisory locks.
    """
    changed: set[str] = set()

    def note(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        text = sql if isinstance(sql, str) else sql.as_string(None)
        if SESSION_STATEMENT.search(text):
            changed.add(context["connection"].alias)
        return execute(sql, params, many, context)

    with contextlib.ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        try:
            yield
        finally:
            for alias in changed:
                # `no_open_transaction` closes it otherwise.
                if not connections[alias].in_atomic_block:
                    connections[alias].close()


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


def _directory() -> str | None:
    """The current directory; None where it has been deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - 1 us instead of 7, at each job
    except OSError:
        return None


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
