"""Prepares a thread's database connections for a request, and tidies them up after it."""

from typing import Any
from weakref import WeakSet

from django.core.cache import close_caches
from django.db import close_old_connections, connections, reset_queries


def begin_in_thread() -> None:
    """Do what Django's receivers of `request_started` do.

    From here on each connection knows its open iterators.
    """
    reset_queries()
    close_old_connections()
    for connection in connections.all():
        if "chunked_cursor" not in vars(connection):
            _watch_cursors(connection)


def _watch_cursors(connection: Any) -> None:
    """Remember the chunked cursors: no others stay open from one sync call to the next."""
    chunked_cursor, open_cursors = connection.chunked_cursor, WeakSet[Any]()

    def watched_cursor() -> Any:
        cursor = chunked_cursor()
        open_cursors.add(cursor)
        return cursor

    connection.chunked_cursor, connection.open_cursors = watched_cursor, open_cursors


def finish_in_thread() -> None:
    """Do what Django's receivers of `request_finished` do.

    Raises:
        RuntimeError: a transaction or a chunked query is open, and would be lost.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit():
            raise RuntimeError(
                "A transaction is open. Commit it before you wait: "
                "waiting gives the connection back."
            )
        if getattr(connection, "open_cursors", None):
            raise RuntimeError(
                "A query is still being read. Read it to its end, or into a list, before you wait."
            )

    close_old_connections()
    close_caches()
