"""Request threads: borrowed at a request's first sync call, its alone, lent on after its end.

asgiref runs a request's sync calls on the executor of its `ThreadSensitiveContext`. `RequestThread`
is that executor, and has no thread until it is needed. The threads live on, and so do their
database connections.
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

from offload.serving.database import begin, finish

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[[], object]

logger = logging.getLogger("offload.serving")

# Seconds without one thread coming back, while requests wait for one, before more are started.
PATIENCE = 0.25


class Worker(threading.Thread):
    """A thread that does what is put into its inbox, until that is None."""

    def __init__(self) -> None:
        # A hanging sync call must not hold up the exit.
        super().__init__(name="request-thread", daemon=True)
        self.inbox: SimpleQueue[Call | None] = SimpleQueue()
        self.start()

    def run(self) -> None:
        """The thread's life."""
        while (call := self.inbox.get()) is not None:
            try:
                call()
            except Exception:
                # Calls carry their own errors; this is Django's clean-up between them.
                logger.exception("A request thread could not be cleaned up.")
            # Or an idle thread would keep its last request alive.
            del call
        connections.close_all()


class ThreadPool:
    """The threads of a process.

    Args:
        size: so many are kept, and lent before a request waits for one. The bound holds database
            connections down. It is soft, or requests that never give theirs back would stop all the
            others: while none comes back for `PATIENCE` seconds, the number of lent threads
            doubles, and falls again when nobody waits any more.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Guards this object and every RequestThread's state.
        self.lock = threading.Lock()
        self.idle: list[Worker] = []
        self.lent = 0
        self.returned = 0
        self.waiting: deque[RequestThread] = deque()

    def lend(self, request: "RequestThread") -> None:
        """Give the request a thread, now or when one comes back. Under the lock, on a running event
        loop.
        """
        if self.idle or self.lent < self.size:
            self._hand_over(request)
        else:
            self.waiting.append(request)
            if len(self.waiting) == 1:
                asyncio.get_running_loop().call_later(PATIENCE, self._grow, self.returned)

    def _hand_over(self, request: "RequestThread") -> None:
        # Raises RuntimeError where the system gives no more.
        worker = self.idle.pop() if self.idle else Worker()
        self.lent += 1
        request.take(worker)

    def _hand_over_next(self) -> None:
        self._hand_over(self.waiting[0])
        self.waiting.popleft()

    def _grow(self, returned: int) -> None:
        with self.lock:
            try:
                if returned == self.returned:
                    for _ in range(min(len(self.waiting), self.lent)):
                        self._hand_over_next()
            finally:
                if self.waiting:
                    asyncio.get_running_loop().call_later(PATIENCE, self._grow, self.returned)

    def take_back(self, worker: Worker) -> None:
        """Clean up and lend on; runs in the thread itself."""
        spoilt = True
        try:
            close_old_connections()
            spoilt = any(
                connection.in_atomic_block for connection in connections.all(initialized_only=True)
            )
        finally:
            with self.lock:
                self.lent -= 1
                self.returned += 1
                if not spoilt and (self.waiting or len(self.idle) < self.size):
                    self.idle.append(worker)
                else:
                    worker.inbox.put(None)
                # Before any later request can find the idle thread.
                if self.waiting:
                    self._hand_over_next()

    def close(self) -> None:
        """End the idle threads and with them their database connections; blocks until they did."""
        with self.lock:
            ending, self.idle, self.size = self.idle, [], 0
        for worker in ending:
            worker.inbox.put(None)
        for worker in ending:
            worker.join()


class RequestThread(Executor):
    """One request's thread: none until the first call, then one, to the end of the request and of
    its last call.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._worker: Worker | None = None
        # While it waits for a thread.
        self._queued: list[Call] = []
        # Calls queued or running.
        self._pending = 0
        self._closed = False

    @property
    def borrowed(self) -> bool:
        """Whether there is a thread to give back, or about to be."""
        return self._worker is not None or self._pending > 0

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a call in the request's thread, after those before it.

        Raises:
            RuntimeError: there is none idle, and the system starts no more.
        """
        future: Future[R] = Future()
        call = partial(self._run, future, partial(fn, *args, **kwargs))
        with self._pool.lock:
            self._pending += 1
            if self._worker is not None:
                self._worker.inbox.put(call)
            else:
                self._queued.append(call)
                if len(self._queued) == 1:
                    try:
                        self._pool.lend(self)
                    except RuntimeError:
                        self._queued.clear()
                        self._pending -= 1
                        raise
        return future

    def take(self, worker: Worker) -> None:
        """Start with what is queued, Django's clean-up first. Under the pool's lock."""
        self._worker = worker
        for call in (begin, *self._queued):
            worker.inbox.put(call)
        self._queued.clear()

    def _run(self, future: Future[R], call: Callable[[], R]) -> None:
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
        """Before the caller hears of the result: it may then release the thread."""
        with self._pool.lock:
            self._pending -= 1
            if self._closed:
                self._give_back()

    def _give_back(self, pending: int = 0) -> None:
        """Unless more than these calls are pending. Under the pool's lock."""
        if self._worker is not None and self._pending == pending:
            self._worker.inbox.put(partial(self._pool.take_back, self._worker))
            self._worker = None

    def close(self) -> None:
        """The request is over: give the thread back, or let its last call do so when it ends."""
        with self._pool.lock:
            self._closed = True
            self._give_back()

    async def release(self) -> None:
        """See the function below."""
        if self._worker is not None and not self._pending:
            await sync_to_async(self._leave)()

    def _leave(self) -> None:
        """Give back the thread this runs in, before a task beside this one can open anything in it."""
        finish()
        with self._pool.lock:
            self._give_back(pending=1)


current: ContextVar[RequestThread | None] = ContextVar("request_thread", default=None)


async def release() -> None:
    """Give the request's thread and database connection back before a long wait; the next sync call
    borrows again.

    Does nothing where there is none, and while a sync call of the request is queued or running: a
    neighbour would get a busy thread.

    Raises:
        RuntimeError: a transaction or a chunked query (`aiterator()`) is open and would be lost.
    """
    thread = current.get()
    if thread is not None:
        await thread.release()
