"""A thread of the pool, which outlives the requests that it serves, and so do its connections."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue

from django.db import connections

from offload.postgresql.connection_slots import ConnectionSlots

WorkItem = Callable[[], object]

logger = logging.getLogger("offload.serving")


class PooledThread(threading.Thread):
    """A thread that does what is put into its inbox, until it finds None there.

    Args:
        when_idle: called in the thread after each `idle_check` seconds without work.
        idle_check: in seconds.
        connection_slots: how many database connections all threads of this kind may open. The
            backend looks for the attribute (`offload/postgresql`).
    """

    def __init__(
        self,
        when_idle: Callable[["PooledThread"], None],
        idle_check: float,
        connection_slots: ConnectionSlots | None,
    ) -> None:
        # A daemon: a sync call that hangs must not hold up the exit of the process.
        super().__init__(name="request-thread", daemon=True)
        self.inbox: SimpleQueue[WorkItem | None] = SimpleQueue()
        self.when_idle = when_idle
        self.idle_check = idle_check
        self.connection_slots = connection_slots
        self.start()

    def run(self) -> None:
        """What the thread does from its start to its end."""
        while (item := self._next_item()) is not None:
            try:
                item()
            except Exception:
                # The error of a call goes to its caller. This is an error of the clean-up.
                logger.exception(
                    "A request thread could not be cleaned up between two requests. "
                    "If this repeats, the database or the cache refuses connections."
                )
            # Else an idle thread would keep its last request alive.
            del item
        connections.close_all()

    def _next_item(self) -> WorkItem | None:
        try:
            return self.inbox.get(timeout=self.idle_check)
        except Empty:
            return partial(self.when_idle, self)
