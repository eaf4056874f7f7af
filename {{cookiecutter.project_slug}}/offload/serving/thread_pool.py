"""The pool of request threads: lends them, and grows while requests wait, up to its ceiling."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Protocol

from django.db import close_old_connections, connections

from offload.postgresql.connection_slots import ConnectionSlots
from offload.serving import metrics
from offload.serving.thread_growth import GROWTH_DELAY_SECONDS, ThreadGrowth

logger = logging.getLogger("offload.serving")

# An idle thread looks this often whether its database connection is too old (`CONN_MAX_AGE`), and
# whether the pool keeps the thread at all.
IDLE_CHECK_SECONDS = 5.0

WorkItem = Callable[[], object]


class PooledThread(threading.Thread):
    """A thread that does what is put into its inbox, until it finds None there.

    It outlives the requests that it serves, and so do its database connections.

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


class Borrower(Protocol):
    """Who is lent a thread: see `RequestThread`."""

    def begin_in(self, thread: PooledThread) -> None:
        """Run in this thread from now on. The pool's lock is held."""

    def fail_waiting_calls(self) -> None:
        """No thread came back in time. The pool has forgotten the borrower."""


class ThreadPool:
    """The request threads of one chain of middleware.

    A request that finds no idle thread waits. When it has waited for `GROWTH_DELAY_SECONDS`, a
    thread is started for it, until there are `max_size` threads. A process that is busy waits
    longer with it (`thread_growth.py`). A request that has waited for `wait_timeout` is answered
    503. So the number of threads has a ceiling, and a request that waits has a deadline.

    Args:
        size: so many threads are kept while they are idle. The others end after
            `IDLE_CHECK_SECONDS` without work.
        max_size: there are never more threads.
        max_connections: the threads never have more database connections (PostgreSQL alone: those
            of SQLite are only files).
        wait_timeout: the longest wait for a thread, and then for a database connection, in seconds.
        idle_check: see `PooledThread`, in seconds.
    """

    def __init__(
        self,
        size: int,
        max_size: int = 128,
        *,
        max_connections: int = 24,
        wait_timeout: float = 3.0,
        idle_check: float = IDLE_CHECK_SECONDS,
    ) -> None:
        self.size = min(size, max_size)
        self.max_size = max_size
        self.wait_timeout = wait_timeout
        self.idle_check = idle_check
        self.connection_slots = ConnectionSlots(max_connections, wait_timeout)
        # Guards this object and the state of every `RequestThread`.
        self.lock = threading.Lock()
        # The last one was used last. The first ones become old when there is little to do.
        self.idle: list[PooledThread] = []
        self.lent = 0
        self.closed = False
        # When a thread last came back (`time.monotonic`), and how many did since the start.
        self.returned_at = 0.0
        self.returned = 0
        self.growth = ThreadGrowth()
        # The requests that wait, and since when (`time.monotonic`).
        self.waiting: deque[tuple[Borrower, float]] = deque()

    def lend(self, request: Borrower) -> None:
        """Give the request a thread, now or when one comes back.

        The caller holds the lock, and runs on the event loop.

        Raises:
            RuntimeError: there is no thread, and the system starts none.
        """
        if not self.waiting and (self.idle or self.lent < self.size):
            try:
                self._hand_over(request)
            except RuntimeError:
                # The request waits for a thread that is lent.
                if not self.lent:
                    raise
            else:
                return

        self.waiting.append((request, time.monotonic()))
        if len(self.waiting) == 1:
            self.growth.begin(self.returned)
            self._look_later(GROWTH_DELAY_SECONDS)

    def _hand_over(self, request: Borrower) -> None:
        """Give the request an idle thread, or a new one.

        Raises:
            RuntimeError: the system starts no more threads.
        """
        thread = self.idle.pop() if self.idle else self._start_thread()
        self.lent += 1
        request.begin_in(thread)

    def _start_thread(self) -> PooledThread:
        return PooledThread(self._when_idle, self.idle_check, self.connection_slots)

    def _hand_over_next(self) -> None:
        request, since = self.waiting[0]
        self._hand_over(request)
        self.waiting.popleft()
        metrics.THREAD_WAIT.observe(time.monotonic() - since)

    def _look_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._look_at_waiting)

    def _look_at_waiting(self) -> None:
        """Start threads for the requests that wait, and refuse those that have waited too long."""
        refused: list[Borrower] = []
        with self.lock:
            try:
                self._grow()
            except RuntimeError:
                # The system starts no more threads. The requests wait for those that there are.
                logger.warning("The system starts no more threads: %d are in use.", self.lent)

            too_old = time.monotonic() - self.wait_timeout
            while self.waiting and self.waiting[0][1] <= too_old:
                refused.append(self.waiting.popleft()[0])
                metrics.THREAD_WAIT.observe(self.wait_timeout)
            if self.waiting:
                self._look_later(self._until_next_look())

        # Without the lock, since the callers are told.
        for request in refused:
            request.fail_waiting_calls()

    def _grow(self) -> None:
        """Hand over a thread to each request that has waited long enough, up to the ceiling.

        At one look the number of threads grows by a quarter, so that a short burst makes few.
        """
        if not self.waiting or not self._growth_helps():
            return

        long_enough = time.monotonic() - GROWTH_DELAY_SECONDS
        most = min(self.max_size, self.lent + max(self.lent // 4, 1))
        while self.waiting and self.lent < most and self.waiting[0][1] <= long_enough:
            self._hand_over_next()

    def _growth_helps(self) -> bool:
        return self.growth.helps(
            waiting=len(self.waiting),
            lent=self.lent,
            returned=self.returned,
            hangs_since=max(self.returned_at, self.waiting[0][1]),
        )

    def _until_next_look(self) -> float:
        """Seconds until a thread may have to be started; at the ceiling, until a refusal is due."""
        if self.lent < self.max_size:
            return GROWTH_DELAY_SECONDS
        return max(self.waiting[0][1] + self.wait_timeout - time.monotonic(), 0.001)

    def take_back(self, thread: PooledThread) -> None:
        """Clean the thread up and lend it on; runs in the thread itself."""
        is_clean = False
        try:
            close_old_connections()
            if self.connection_slots.wanted:
                # Another thread of the pool waits for a connection.
                connections.close_all()
            is_clean = not any(
                connection.in_atomic_block for connection in connections.all(initialized_only=True)
            )
        finally:
            with self.lock:
                self.lent -= 1
                self.returned_at = time.monotonic()
                self.returned += 1
                if is_clean and not self.closed:
                    self.idle.append(thread)
                else:
                    thread.inbox.put(None)
                # Under the same lock, so that no later request finds the idle thread first.
                if self.waiting:
                    self._hand_over_next()

    def _when_idle(self, thread: PooledThread) -> None:
        """End the thread if it is one too many, else close its connections that are too old.

        Runs in the thread. A request that is lent the thread meanwhile waits in its inbox.
        """
        with self.lock:
            if thread in self.idle and len(self.idle) + self.lent > self.size:
                self.idle.remove(thread)
                thread.inbox.put(None)
                return
        close_old_connections()

    def close(self) -> None:
        """End the idle threads and their database connections; blocks until they have ended."""
        with self.lock:
            ending, self.idle, self.closed = self.idle, [], True
        for thread in ending:
            thread.inbox.put(None)
        for thread in ending:
            thread.join()

    def open(self) -> None:
        """Keep idle threads again, after a `close`: an application may be started twice."""
        self.closed = False
