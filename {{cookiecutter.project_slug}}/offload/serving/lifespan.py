"""Start and end of the process: opens what the rooms own, in order, and closes it in reverse after
the last request.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from types import FrameType
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from offload.serving.types import Lifespan, Receive, Scope, Send

logger = logging.getLogger("offload.serving")


async def run_lifespan(
    lifespans: Sequence[Lifespan],
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    stopping: Callable[[], None],
    drained: Callable[[], Awaitable[None]],
) -> None:
    """Speak ASGI's lifespan protocol for one process.

    Args:
        lifespans: opened in this order, closed in reverse.
        stopping: called once, on the event loop, as soon as the process is told to stop.
        drained: awaited after the server let go of its connections and before anything is closed.
    """
    await receive()
    state: dict[str, Any] = scope.setdefault("state", {})
    # Set when the start is over. The guard watches the event loop from then on.
    started = state["started"] = asyncio.Event()
    try:
        async with AsyncExitStack() as opened:
            try:
                for lifespan in lifespans:
                    await opened.enter_async_context(lifespan(state))
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": _reason(lifespan, error)})
                return
            # What the start made lives as long as the process: the garbage collector needn't look
            # at it again.
            gc.collect()
            gc.freeze()
            started.set()
            with _on_stop_signal(stopping):
                await send({"type": "lifespan.startup.complete"})
                await receive()
            # Where there was no signal, as under a test's server.
            stopping()
            await drained()
    except Exception as error:
        logger.exception("The shutdown did not run to its end.")
        await send({"type": "lifespan.shutdown.failed", "message": f"The shutdown failed: {error}"})
    else:
        await send({"type": "lifespan.shutdown.complete"})


def _reason(lifespan: Lifespan, error: Exception) -> str:
    """Why the process does not start, in a sentence; anything but a wrong setting is a bug and
    shows its traceback.
    """
    logger.error(
        "Start failed.", exc_info=None if isinstance(error, ImproperlyConfigured) else error
    )
    where = getattr(lifespan, "__module__", type(lifespan).__module__)
    return f"The service did not start, {where} failed: {type(error).__name__}: {error}"


@contextmanager
def _on_stop_signal(stopping: Callable[[], None]) -> Iterator[None]:
    """Hear SIGTERM and SIGINT beside the server, which tells the application only after all
    connections closed.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping)
        if callable(before[number]):
            before[number](number, frame)
        elif before[number] is signal.SIG_DFL:
            # Nobody else hears it, as in a script that runs the application itself.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    try:
        for stop in (signal.SIGTERM, signal.SIGINT):
            before[stop] = signal.getsignal(stop)
            signal.signal(stop, hear)
    except ValueError:
        # Only a main thread may, and a test's server runs in another: it ends by the lifespan
        # alone.
        pass
    try:
        yield
    finally:
        for number in before:
            if signal.getsignal(number) is hear:
                signal.signal(number, before[number])
