"""What all of the jobs know of the database: how it fails, and that a fork waits for it.

`row_states.py` has the states of rows and the database's clock, `fenced_update.py` the one
statement that changes a row, and `transactions.py` the order of locks. `worker/outage.py` says what
happens while the database is down.
"""

import os
import threading

from django.db import DatabaseError, InterfaceError, OperationalError, connections

# A fork takes locks in the reverse order of their registration: first `FORK_LOCK`, under which a
# thread may count, and so wait for this one.
import offload.observe.no_fork  # noqa: F401

# What Django raises where the database refuses a statement, and where there is no connection.
DATABASE_ERRORS = (DatabaseError, InterfaceError)
# Those of them that are no fault of a row: the connection, a lock, the server.
CONNECTION_ERRORS = (OperationalError, InterfaceError)

# A child that is forked while another thread is inside the database library would inherit the
# library's locks, and nobody would ever release them. The threads of a worker's main process use
# the database only under this lock, and a fork waits for it.
FORK_LOCK = threading.RLock()
os.register_at_fork(
    before=FORK_LOCK.acquire, after_in_parent=FORK_LOCK.release, after_in_child=FORK_LOCK.release
)


def close_connections() -> None:
    """Close this thread's connections, for example after an outage."""
    with FORK_LOCK:
        connections.close_all()
