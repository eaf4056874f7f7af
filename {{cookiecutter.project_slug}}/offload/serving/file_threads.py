"""Threads that read files. A read that hangs delays no other work, and not the end of the process.

A file may be on another machine, or be the output of another process. In the event loop's own pool
(6 threads on two cores), six reads that hang would stop the answers of all errors and of the
metrics, which use that pool, too, and Python waits for its threads at the end of the process.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future
from functools import lru_cache, partial
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.http import FileResponse
from django.http.response import HttpResponseBase

# Files that are read at the same moment; further reads wait. Python's own pool has no more threads.
MAX_FILE_THREADS = 32
# The size of one piece of a file. A client that reads slowly holds one, and the transport's buffer
# (64 KiB) holds another.
PIECE_BYTES = 64 * 1024

P = ParamSpec("P")
R = TypeVar("R")


def in_file_thread(call: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """The call as a coroutine function, which runs it in any of the threads that read files."""
    return sync_to_async(call, thread_sensitive=False, executor=_threads())


@lru_cache(maxsize=1)
def _threads() -> Any:
    """Those of the process, which start when they are needed.

    asgiref's types ask for a `ThreadPoolExecutor`, and its code takes any `Executor`.
    """
    return DaemonThreads(MAX_FILE_THREADS)


class DaemonThreads(Executor):
    """A pool of daemon threads. Those of `ThreadPoolExecutor` are waited for at the exit.

    Args:
        max_threads: there are never more.
    """

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._threads = 0
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # Counts the threads that wait for a call.
        self._idle = Semaphore(0)

    def submit(self, call: Callable[P, R], /, *args: P.args, **named: P.kwargs) -> Future[R]:
        """Run a call in a thread. Only the thread of the event loop submits."""
        future: Future[R] = Future()
        if not self._idle.acquire(blocking=False) and self._threads < self._max_threads:
            self._start_thread()
        self._calls.put((future, partial(call, *args, **named)))
        return future

    def _start_thread(self) -> None:
        try:
            Thread(target=self._run, name="file-thread", daemon=True).start()
        except RuntimeError:
            # The system starts no more threads. Where there are some, the call waits for them.
            if not self._threads:
                raise
        else:
            self._threads += 1

    def _run(self) -> None:
        while True:
            self._run_next()
            self._idle.release()

    def _run_next(self) -> None:
        """Without a loop around it: nothing of a call is kept alive until the next one."""
        future, call = self._calls.get()
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


def read_in_pieces(response: HttpResponseBase) -> None:
    """Let a `FileResponse` be read as fast as its client reads.

    Under ASGI Django reads a file to its end first (`StreamingHttpResponse.__aiter__`): ten
    downloads of 2 GB would take 20 GB of memory.
    """
    file = response.file_to_stream if isinstance(response, FileResponse) else None
    if file is not None:
        length = response.headers.get("Content-Length", "")
        # Django closes it with the response.
        response.streaming_content = _pieces(  # type: ignore[attr-defined]
            file, int(length) if length.isdecimal() else sys.maxsize
        )


async def _pieces(file: Any, length: int) -> AsyncIterator[bytes]:
    """The first `length` bytes: the file may have grown since its response was made."""
    # The client may take hours, for which the request's own thread would be held.
    read = in_file_thread(file.read)
    left = length
    while left > 0 and (piece := await read(min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece
