"""Request threads: a request borrows one at its first sync call, and gives it back at its end.

asgiref runs the sync calls of a request on the executor of its `ThreadSensitiveContext`.
`RequestThread` is that executor, and has no thread until it needs one. The threads of the pool live
on, and so do their database connections.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from functools import partial
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from offload.problems import Problem
from offload.serving import metrics
from offload.serving.signals import begin_in_thread, finish_in_thread
from offload.serving.thread_pool import PooledThread, ThreadPool, WorkItem

P = ParamSpec("P")
R = TypeVar("R")

# The thread of the request that the current task works for; None outside of a request.
current_request_thread: "ContextVar[RequestThread | None]" = ContextVar(
    "request_thread", default=None
)


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
        # In use between `__enter__` and `__exit__`.
        self._context: Any = None
        self._tokens: tuple[Any, Any] | None = None

    def __enter__(self) -> "RequestThread":
        """Run the sync calls of the current context from now on.

        This is what `async with ThreadSensitiveContext()` would do, without its checks: the server
        gives each request a fresh context.
        """
        context = self._context = ThreadSensitiveContext(executor=self)
        self._tokens = (
            current_request_thread.set(self),
            SyncToAsync.thread_sensitive_context.set(context),
        )
        SyncToAsync.context_to_thread_executor[context] = self
        return self

    def __exit__(self, *error: object) -> None:
        assert self._tokens is not None
        # A task that outlives its request gets a RuntimeError at its next sync call.
        self._context._exited = True
        # Else asgiref would keep both for ever.
        self._context = None
        # The client of a test runs many requests in one context.
        thread_token, context_token = self._tokens
        SyncToAsync.thread_sensitive_context.reset(context_token)
        current_request_thread.reset(thread_token)
        self.close()

    @property
    def borrowed(self) -> bool:
        """Whether the request has a thread, or waits for one."""
        return self._thread is not None or self._pending > 0

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a call in the request's thread, after the calls before it.

        Raises:
            RuntimeError: there is no thread, and the system starts none.

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

    def begin_in(self, thread: PooledThread) -> None:
        """Run the waiting calls in this thread, after Django's clean-up.

        The caller holds the pool's lock.
        """
        self._thread = thread
        thread.inbox.put(begin_in_thread)
        for _, item in self._queued:
            thread.inbox.put(item)
        self._queued.clear()

    def fail_waiting_calls(self) -> None:
        """No thread came back in time: fail the calls that wait for one.

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
        """Run one call, in the thread.

        The call is no longer pending when its caller hears of the result: the caller may release
        the thread at once.
        """
        if not future.set_running_or_notify_cancel():
            self._end_call()
            return

        try:
            result = call()
        except BaseException as error:
            self._end_call()
            future.set_exception(error)
        else:
            self._end_call()
            future.set_result(result)

    def _end_call(self) -> None:
        with self._pool.lock:
            self._pending -= 1
            if self._closed:
                self._give_back_if_pending(0)

    def _give_back_if_pending(self, calls: int) -> None:
        """Give the thread back if so many calls are pending, and no more.

        The caller holds the pool's lock.
        """
        if self._thread is not None and self._pending == calls:
            self._thread.inbox.put(partial(self._pool.take_back, self._thread))
            self._thread = None

    def close(self) -> None:
        """The request has ended: give the thread back, or let its last call do so."""
        with self._pool.lock:
            self._closed = True
            self._give_back_if_pending(0)

    async def release(self) -> None:
        """Give the thread back before the request waits; as the function `release`, below."""
        if self._thread is not None and not self._pending:
            await sync_to_async(self._give_back_from_inside)()

    def _give_back_from_inside(self) -> None:
        """Give back the thread in which this runs.

        It runs there, so that no other task of the request opens a transaction meanwhile.
        """
        finish_in_thread()
        with self._pool.lock:
            # The pending call is this one.
            self._give_back_if_pending(1)


class SocketThread(RequestThread):
    """The thread of a WebSocket, which may be open for hours: it is given back after each call.

    In two cases the WebSocket keeps the thread: while a transaction or a chunked query is open, and
    where the clean-up fails. In the second case the pool ends the thread when the WebSocket closes.
    """

    def fail_waiting_calls(self) -> None:
        """Fail the calls that wait for a thread. A later call may find one."""
        super().fail_waiting_calls()
        self._refused = False

    def _end_call(self) -> None:
        # An error here must not keep the call's result from its caller.
        with contextlib.suppress(Exception):
            finish_in_thread()
            with self._pool.lock:
                # The pending call is this one.
                self._give_back_if_pending(1)
        super()._end_call()


def _all_busy() -> Problem:
    return Problem(
        503,
        "All request threads are busy: the database or another service is slow. "
        "Try again in a moment.",
        headers={"Retry-After": "1"},
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
