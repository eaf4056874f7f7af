"""Request threads: a request borrows one at its first sync call, and gives it back at its end.

asgiref runs the sync calls of a request on the executor of its `ThreadSensitiveContext`.
`RequestThread` is that executor, and has no thread until it needs one. The threads of the pool live
on, and so do their database connections.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections, connections

from offload.serving.database import begin_in_thread, finish_in_thread

P = ParamSpec("P")
R = TypeVar("R")
WorkItem = Callable[[], object]

logger = logging.getLogger("offload.serving")

# Requests wait for a thread, and none has come back for this time: then more threads are started.
GROWTH_DELAY_SECONDS = 0.25


class PooledThread(threading.Thread):
    """A thread that does what is put into its inbox, until it finds None there."""

    def __init__(self) -> None:
        # A daemon: a sync call that hangs must not hold up the exit of the process.
        super().__init__(name="request-thread", daemon=True)
        self.inbox: SimpleQueue[WorkItem | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """What the thread does from its start to its end."""
        while (item := self.inbox.get()) is not None:
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


class ThreadPool:
    """The request threads of a process.

    Args:
        size: so many threads are kept, and lent before a request waits for one. This bounds the
            database connections. The bound is soft, or requests that never give their threads back
            would stop all the others: each time that none comes back for `GROWTH_DELAY_SECONDS`
            while requests wait, the number of lent threads doubles. The additional threads end
            when nobody waits any more.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Guards this object and the state of every RequestThread.
        self.lock = threading.Lock()
        self.idle: list[PooledThread] = []
        self.lent = 0
        # How many threads came back since the start.
        self.returned = 0
        self.waiting: deque[RequestThread] = deque()

    def lend(self, request: "RequestThread") -> None:
        """Give the request a thread, now or when one comes back.

        The caller holds the lock, and runs on the event loop.
        """
        if self.idle or self.lent < self.size:
            self._hand_over(request)
            return

        self.waiting.append(request)
        if len(self.waiting) == 1:
            self._grow_later()

    def _hand_over(self, request: "RequestThread") -> None:
        """Raises RuntimeError where the system starts no more threads."""
        thread = self.idle.pop() if self.idle else PooledThread()
        self.lent += 1
        request.take(thread)

    def _hand_over_next(self) -> None:
        self._hand_over(self.waiting[0])
        self.waiting.popleft()

    def _grow_later(self) -> None:
        asyncio.get_running_loop().call_later(GROWTH_DELAY_SECONDS, self._grow, self.returned)

    def _grow(self, returned_before: int) -> None:
        """Double the lent threads, unless one came back meanwhile."""
        with self.lock:
            try:
                if self.returned == returned_before:
                    for _ in range(min(len(self.waiting), self.lent)):
                        self._hand_over_next()
            finally:
                if self.waiting:
                    self._grow_later()

    def take_back(self, thread: PooledThread) -> None:
        """Clean the thread up and lend it on; runs in the thread itself."""
        is_clean = False
        try:
            close_old_connections()
            is_clean = not any(
                connection.in_atomic_block for connection in connections.all(initialized_only=True)
            )
        finally:
            with self.lock:
                self.lent -= 1
                self.returned += 1
                if is_clean and (self.waiting or len(self.idle) < self.size):
                    self.idle.append(thread)
                else:
                    thread.inbox.put(None)
                # Under the same lock, so that no later request finds the idle thread first.
                if self.waiting:
                    self._hand_over_next()

    def close(self) -> None:
        """End the idle threads and their database connections; blocks until they have ended."""
        with self.lock:
            ending, self.idle, self.size = self.idle, [], 0
        for thread in ending:
            thread.inbox.put(None)
        for thread in ending:
            thread.join()


class RequestThread(Executor):
    """The thread of one request: none until the first sync call, and then one.

    The request gives it back at its end, or at the end of its last call if that is later.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._thread: PooledThread | None = None
        # The calls that wait for a thread.
        self._queued: list[WorkItem] = []
        # Calls that are queued or running.
        self._pending = 0
        self._closed = False

    @property
    def borrowed(self) -> bool:
        """Whether the request has a thread, or waits for one."""
        return self._thread is not None or self._pending > 0

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a call in the request's thread, after the calls before it.

        Raises:
            RuntimeError: no thread is idle, and the system starts no more.
        """
        future: Future[R] = Future()
        item = partial(self._run, future, partial(fn, *args, **kwargs))
        with self._pool.lock:
            self._pending += 1
            if self._thread is not None:
                self._thread.inbox.put(item)
            else:
                self._enqueue(item)
        return future

    def _enqueue(self, item: WorkItem) -> None:
        """Keep a call until there is a thread; the first one asks for it."""
        self._queued.append(item)
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
        for item in (begin_in_thread, *self._queued):
            thread.inbox.put(item)
        self._queued.clear()

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
