"""Request threads: a request borrows one at its first sync call, and gives it back at its end.

asgiref runs the sync calls of a request on the executor of its `ThreadSensitiveContext`.
`RequestThread` is that executor, and has no thread until it needs one. The threads of the pool live
on, and so do their database connections.
"""

import asyncio
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

from offload.postgresql.connection_slots import ConnectionSlots
from offload.problems import Problem
from offload.serving import metrics
from offload.serving.database import begin_in_thread, finish_in_thread

P = ParamSpec("P")
R = TypeVar("R")
WorkItem = Callable[[], object]

logger = logging.getLogger("offload.serving")

# A request that has waited this long for a thread is reason enough to start one, unless the process
# is busy. A thread starts in 0.1 ms and a query takes 1 ms or more, so a shorter wait says nothing.
GROWTH_DELAY_SECONDS = 0.01
# A process that used this share of a core since the last look is busy: Python runs on one core at a
# time, and the rest is for the event loop. More threads would only contend for the core. Below it
# the threads wait for something, and eight of them answer less than Django's own handler would.
BUSY_SHARE = 0.5
# A look that comes so much too late says that the process does not get its core: other processes or
# its own threads have it.
LATE_LOOK_SECONDS = 0.005
# A busy process starts threads, too, if none has come back for this time: those that are lent hang.
BUSY_GROWTH_DELAY_SECONDS = 0.25
# An idle thread looks this often whether its database connection is too old (`CONN_MAX_AGE`), and
# whether the pool keeps the thread at all.
IDLE_CHECK_SECONDS = 5.0


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


class Look(NamedTuple):
    """What the pool saw when it last looked after the requests that wait."""

    # The time (`time.monotonic`), and the CPU time of the process.
    at: float = 0.0
    cpu: float = 0.0
    # How many requests waited, and how many threads had come back since the start.
    waiting: int = 0
    returned: int = 0


class ThreadPool:
    """The request threads of one chain of middleware.

    A request that finds no idle thread waits. When it has waited for `GROWTH_DELAY_SECONDS`, a
    thread is started for it, until there are `max_size` threads. A process that is busy waits
    longer with it (`_growth_helps`). A request that has waited for `wait_timeout` is answered 503.
    So the number of threads has a ceiling, and a request that waits has a deadline.

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
        # Guards this object and the state of every RequestThread.
        self.lock = threading.Lock()
        # The last one was used last. The first ones become old when there is little to do.
        self.idle: list[PooledThread] = []
        self.lent = 0
        self.closed = False
        # When a thread last came back (`time.monotonic`), and how many did since the start.
        self.returned_at = 0.0
        self.returned = 0
        self.last_look = Look()
        # The requests that wait, and since when (`time.monotonic`).
        self.waiting: deque[tuple[RequestThread, float]] = deque()

    def lend(self, request: "RequestThread") -> None:
        """Give the request a thread, now or when one comes back.

        The caller holds the lock, and runs on the event loop.
        """
        if not self.waiting and (self.idle or self.lent < self.size):
            self._hand_over(request)
            return

        self.waiting.append((request, time.monotonic()))
        if len(self.waiting) == 1:
            # The first look only observes: most bursts end before the second.
            self.last_look = self._look()._replace(waiting=sys.maxsize)
            self._attend_later(GROWTH_DELAY_SECONDS)

    def _hand_over(self, request: "RequestThread") -> None:
        """Raises RuntimeError where the system starts no more threads."""
        thread = self.idle.pop() if self.idle else self._start_thread()
        self.lent += 1
        request.take(thread)

    def _start_thread(self) -> PooledThread:
        return PooledThread(self._when_idle, self.idle_check, self.connection_slots)

    def _hand_over_next(self) -> None:
        self._hand_over(self.waiting[0][0])
        self.waiting.popleft()

    def _attend_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._attend)

    def _attend(self) -> None:
        """Start threads for the requests that wait, and refuse those that have waited too long."""
        refused: list[RequestThread] = []
        with self.lock:
            try:
                self._grow()
            except RuntimeError:
                # The system starts no more threads. The requests wait for those that there are.
                logger.warning("The system starts no more threads: %d are in use.", self.lent)

            too_old = time.monotonic() - self.wait_timeout
            while self.waiting and self.waiting[0][1] <= too_old:
                refused.append(self.waiting.popleft()[0])
            if self.waiting:
                self._attend_later(self._until_next_look())

        # Without the lock, since the callers are told.
        for request in refused:
            request.refuse()

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

    def _look(self) -> Look:
        return Look(time.monotonic(), time.process_time(), len(self.waiting), self.returned)

    def _growth_helps(self) -> bool:
        """Whether more threads would answer more requests.

        Five cases: 1. no thread comes back: yes; 2. the process is busy, or does not get its core:
        no; 3. half of the threads came back since the last look: no, each has a request for a few
        milliseconds; 4. fewer requests wait than at the last look: no, the burst is ending by
        itself; 5. the threads wait for something: yes.
        """
        last, look = self.last_look, self._look()
        self.last_look = look
        hangs_since = max(self.returned_at, self.waiting[0][1])
        if look.at - hangs_since > BUSY_GROWTH_DELAY_SECONDS:
            return True

        seconds = look.at - last.at
        is_busy = look.cpu - last.cpu > BUSY_SHARE * seconds
        is_late = seconds > GROWTH_DELAY_SECONDS + LATE_LOOK_SECONDS
        is_quick = look.returned - last.returned > self.lent // 2
        is_ending = look.waiting < last.waiting
        return not (is_busy or is_late or is_quick or is_ending)

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


class RequestThread(Executor):
    """The thread of one request: none until the first sync call, and then one.

    The request gives it back at its end, or at the end of its last call if that is later.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._thread: PooledThread | None = None
        # The calls that wait for a thread, each with the future of its result.
        self._queued: list[tuple[Future[Any], WorkItem]] = []
        # Calls that are queued or running.
        self._pending = 0
        self._closed = False
        self._refused = False

    @property
    def borrowed(self) -> bool:
        """Whether the request has a thread, or waits for one."""
        return self._thread is not None or self._pending > 0

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a call in the request's thread, after the calls before it.

        Raises:
            RuntimeError: no thread is idle, and the system starts no more.

        The future raises a `Problem` (503) if the pool lends no thread in time.
        """
        future: Future[R] = Future()
        item = partial(self._run, future, partial(fn, *args, **kwargs))
        with self._pool.lock:
            if self._refused:
                future.set_exception(_all_busy())
                return future
            self._pending += 1
            if self._thread is not None:
                self._thread.inbox.put(item)
            else:
                self._enqueue(future, item)
        return future

    def _enqueue(self, future: Future[Any], item: WorkItem) -> None:
        """Keep a call until there is a thread; the first one asks for it."""
        self._queued.append((future, item))
        if len(self._queued) > 1:
            return

        try:
            self._pool.lend(self)
        except RuntimeError:
            self._queued.clear()
            self._pending -= 1
            raise

    def take(self, thread: PooledThread) -> None:
        """Begin in this thread, first with Django's clean-up. The caller holds the pool's lock."""
        self._thread = thread
        thread.inbox.put(begin_in_thread)
        for _, item in self._queued:
            thread.inbox.put(item)
        self._queued.clear()

    def refuse(self) -> None:
        """No thread came back in time: fail the calls that wait. The pool has forgotten them.

        Later calls of the request fail at once. Django makes some after an error of a sync view,
        and each would wait as long again.
        """
        metrics.SHED.labels("threads").inc()
        with self._pool.lock:
            self._refused = True
            queued, self._queued = self._queued, []
            self._pending -= len(queued)
        for future, _ in queued:
            if future.set_running_or_notify_cancel():
                future.set_exception(_all_busy())

    def _run(self, future: Future[R], call: Callable[[], R]) -> None:
        """One call, in the thread. It is done before its caller hears of the result.

        The caller may release the thread as soon as it has the result.
        """
        if not future.set_running_or_notify_cancel():
            self._done()
            return

        try:
            result = call()
        except BaseException as error:
            self._done()
            future.set_exception(error)
        else:
            self._done()
            future.set_result(result)

    def _done(self) -> None:
        with self._pool.lock:
            self._pending -= 1
            if self._closed:
                self._give_back()

    def _give_back(self, pending: int = 0) -> None:
        """Give the thread back if exactly `pending` calls are pending.

        The caller holds the pool's lock.
        """
        if self._thread is not None and self._pending == pending:
            self._thread.inbox.put(partial(self._pool.take_back, self._thread))
            self._thread = None

    def close(self) -> None:
        """The request has ended: give the thread back, or let its last call do so."""
        with self._pool.lock:
            self._closed = True
            self._give_back()

    async def release(self) -> None:
        """Give the thread back before the request waits: see `release` below."""
        if self._thread is not None and not self._pending:
            await sync_to_async(self._leave)()

    def _leave(self) -> None:
        """Give back the thread in which this runs.

        It runs there so that no other task of the request can open anything in it meanwhile.
        """
        finish_in_thread()
        with self._pool.lock:
            # The pending call is this one.
            self._give_back(pending=1)


def _all_busy() -> Problem:
    return Problem(
        503,
        "All request threads are busy: the database or another service is slow. "
        "Try again in a moment.",
        headers={"Retry-After": "1"},
    )


current_request_thread: ContextVar[RequestThread | None] = ContextVar(
    "request_thread", default=None
)


async def release() -> None:
    """Give the request's thread and database connection back, before a long wait.

    The next sync call borrows a thread again. Nothing happens where the request has no thread, and
    while one of its sync calls is queued or running: another request would get a busy thread.

    Raises:
        RuntimeError: a transaction or a chunked query (`aiterator()`) is open and would be lost.
    """
    thread = current_request_thread.get()
    if thread is not None:
        await thread.release()
