"""Runs two transactions on two connections (PostgreSQL), one statement at a time."""

import queue
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

# Seconds between two looks at a statement that has not come back.
LOOK_INTERVAL_SECONDS = 0.02
# Seconds until a statement that waits for no lock must have come back.
STATEMENT_TIMEOUT_SECONDS = 60.0


class Actor:
    """A thread with a connection of its own. It stops before every statement and before COMMIT."""

    def __init__(self) -> None:
        self.finished = True
        self.result: Any = None
        self._actions: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._may_go = threading.Semaphore(0)
        # It stands before a statement, or has finished.
        self._stands = threading.Event()
        self._backend = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, action: Callable[[], Any]) -> None:
        """Go to the first statement of an action."""
        self.finished = False
        self._stands.clear()
        self._actions.put(action)
        assert self._stands.wait(STATEMENT_TIMEOUT_SECONDS)

    def step(self) -> bool:
        """Execute one statement; or go on waiting for the last one.

        Returns:
            Whether it was executed. False where a lock of the other one holds it up, or where the
            action has finished.
        """
        if self.finished:
            return False
        if self._stands.is_set():
            self._stands.clear()
            self._may_go.release()

        looks = 0
        while not self._stands.wait(LOOK_INTERVAL_SECONDS):
            looks += 1
            assert looks * LOOK_INTERVAL_SECONDS < STATEMENT_TIMEOUT_SECONDS, "a statement hangs"
            if self._waits_for_a_lock():
                return False
        return True

    def end(self) -> None:
        """Close the connection."""
        self._actions.put(None)
        self._thread.join(STATEMENT_TIMEOUT_SECONDS)

    def _waits_for_a_lock(self) -> bool:
        with connection.cursor() as cursor:
            # `pg_stat_activity` would say so for a while after another one has released the lock,
            # until this backend gets a CPU.
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s))", [self._backend])
            return bool(cursor.fetchone()[0])

    def _run(self) -> None:
        connection.ensure_connection()
        self._backend = connection.connection.info.backend_pid
        commit = connection._commit

        def gate() -> None:
            self._stands.set()
            self._may_go.acquire()

        def gated_commit() -> None:
            gate()
            commit()

        def gated(execute: Any, *arguments: Any) -> Any:
            gate()
            return execute(*arguments)

        connection._commit = gated_commit
        with connection.execute_wrapper(gated):
            while action := self._actions.get():
                try:
                    self.result = action()
                except Exception as error:
                    self.result = error
                self.finished = True
                self._stands.set()
        connection.close()


def run_both(
    actors: tuple[Actor, Actor],
    first: Callable[[], Any],
    second: Callable[[], Any],
    statements: int,
) -> tuple[list[Any], bool]:
    """Run `first` for so many statements, then `second` as far as it comes, then the rest.

    Returns:
        The two results, errors among them; and whether `first` has more statements than that.
    """
    one, other = actors
    one.begin(first)
    other.begin(second)
    for _ in range(statements):
        one.step()
    more = not one.finished

    while not (one.finished and other.finished):
        moved = False
        while other.step():
            moved = True
        moved |= one.step()
        # What ends a deadlock is PostgreSQL, after a second.
        assert moved or one.finished or other.finished or one.step() or other.step()
    return [one.result, other.result], more
