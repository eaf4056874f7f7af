"""What a thread does with its database connections and caches when a request borrows it and gives
it back.
"""

from typing import Any
from weakref import WeakSet

from django.core.cache import close_caches
from django.db import close_old_connections, connections, reset_queries


def begin() -> None:
    """What Django's receivers of `request_started` do in a thread; and open iterators are watched
    from here on.
    """
    reset_queries()
    close_old_connections()
    for connection in connections.all():
        if "chunked_cursor" not in vars(connection):
            _watch_cursors(connection)


def _watch_cursors(connection: Any) -> None:
    """Remember the chunked cursors alive: only they stay open from one sync call to the next."""
    chunked_cursor, alive = connection.chunked_cursor, WeakSet[Any]()

    def watched() -> Any:
        cursor = chunked_cursor()
        alive.add(cursor)
        return cursor

    connection.chunked_cursor, connection.open_cursors = watched, alive


def finish() -> None:
    """What Django's receivers of `request_finished` do in a thread, refused where something would
    be lost.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None:
            continue
        if connection.in_atomic_block or not connection.get_autocommit():
            raise RuntimeError(
                "A transaction is open. Commit it before you wait: waiting gives the connection back."
            )
        if getattr(connection, "open_cursors", None):
            raise RuntimeError(
                "A query is still being read. Read it to its end, or into a list, before you wait."
            )
    close_old_connections()
    close_caches()
