"""Closes the database connection that the queries of async tests have left behind.

Outside of a request, `sync_to_async` and the a-methods of the ORM query in one thread, which all
tests share and which keeps its connection. PostgreSQL refuses to drop a test database that somebody
is connected to, and the last test of the run would end with that error.
"""

from asgiref.sync import SyncToAsync
from django.db import connections


def close() -> None:
    """Close the connections of the thread in which async tests query."""
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
