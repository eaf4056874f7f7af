"""The ceiling for the database connections of some threads."""

import threading


class ConnectionSlots:
    """Bounds how many connections are open at once.

    A thread that keeps an idle connection gives its slot up if another thread waits for one: see
    `wanted`.

    Args:
        size: the number of connections.
        wait_timeout: the longest wait for one, in seconds.
    """

    def __init__(self, size: int, wait_timeout: float) -> None:
        self.size = size
        self.wait_timeout = wait_timeout
        self.used = 0
        # Threads that wait for a slot.
        self.waiting = 0
        self._changed = threading.Condition()

    @property
    def wanted(self) -> bool:
        """Whether a thread waits for a slot."""
        return self.waiting > 0

    def acquire(self) -> bool:
        """Take a slot; False if none was free in time."""
        with self._changed:
            self.waiting += 1
            try:
                free = self._changed.wait_for(self._has_free, self.wait_timeout)
            finally:
                self.waiting -= 1
            self.used += free
            return free

    def release(self) -> None:
        """Give a slot back."""
        with self._changed:
            self.used -= 1
            self._changed.notify()

    def _has_free(self) -> bool:
        return self.used < self.size


def slots_of_this_thread() -> ConnectionSlots | None:
    """The slots that a request thread carries; None in every other thread, which has no ceiling."""
    found: ConnectionSlots | None = getattr(threading.current_thread(), "connection_slots", None)
    return found
