"""Closes the database connection that the queries of async tests have left behind.

Outside of a request, `sync_to_async` and the a-methods of the ORM query in one thread, which all
tests share and which keeps its connection. PostgreSQL refuses to drop a test database that somebody
is connected to, and the last test of the run would end with that error.
"""

from contextlib import suppress

from asgiref.sync import SyncToAsync
from django.db import connections

# A test may have left a call there that hangs.
CLOSE_TIMEOUT_SECONDS = 5.0


def close() -> None:
    """Close the connections of the thread in which async tests query, if it is free in time."""
    closed = SyncToAsync.single_thread_executor.submit(connections.close_all)
    with suppress(TimeoutError):
        closed.result(CLOSE_TIMEOUT_SECONDS)
