"""A lock that a fork waits for.

A process that is forked while another thread holds a lock inherits that lock, and nobody would
release it. A thread of a worker's main process counts, and looks at the locks of other processes,
only under `NO_FORK`, or under the lock with which it uses the database (`jobs/database.py`).
"""

import os
import threading

NO_FORK = threading.RLock()
os.register_at_fork(
    before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release
)
