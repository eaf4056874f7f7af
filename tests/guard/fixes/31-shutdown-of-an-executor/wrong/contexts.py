import asyncio
import contextvars
import functools
import weakref
from concurrent.futures import ThreadPoolExecutor

_current: contextvars.ContextVar = contextvars.ContextVar("request_threads", default=None)


class RequestThreads:
    """Gives each request a thread of its own for its synchronous calls."""

    executors: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def __init__(self):
        self.token = None

    async def __aenter__(self):
        if _current.get() is None:
            self.token = _current.set(self)
            self.executors[self] = ThreadPoolExecutor(max_workers=1)
        return self

    async def __aexit__(self, exc_type, exc, traceback):
        if self.token is None:
            return
        executor = self.executors.pop(self, None)
        if executor is not None:
            executor.shutdown()
        _current.reset(self.token)


async def run(function, *args, **kwargs):
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    call = functools.partial(context.run, function, *args, **kwargs)
    threads = _current.get()
    executor = threads.executors.get(threads) if threads is not None else None
    return await loop.run_in_executor(executor, call)
