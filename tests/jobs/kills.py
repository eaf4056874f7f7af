"""Kills a process between any two statements."""

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any


def kill_before(statement: int, action: Callable[[], None]) -> bool:
    """Run an action in a forked process that is killed before its n-th statement or commit.

    Returns:
        Whether it was killed; else it had fewer statements.
    """
    from django.db import connection, connections

    connections.close_all()
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])

    numbers = itertools.count()

    def count() -> None:
        if next(numbers) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(execute: Any, *arguments: Any) -> Any:
        count()
        return execute(*arguments)

    commit = connection._commit

    def counted_commit() -> None:
        count()
        commit()

    try:
        connection._commit = counted_commit  # type: ignore[method-assign]
        with connection.execute_wrapper(counted):
            action()
    finally:
        os._exit(0)
