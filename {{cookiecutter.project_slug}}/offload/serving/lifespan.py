"""Start and end of the process: opens what the rooms own, and closes it after the last request."""

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
    on_stop: Callable[[], None],
    wait_for_requests: Callable[[], Awaitable[None]],
) -> None:
    """Speak ASGI's lifespan protocol for one process.

    Args:
        lifespans: opened in this order, closed in reverse.
        on_stop: called on the event loop at the signal to stop, and again when the server has
            closed its connections.
        wait_for_requests: awaited then, before anything is closed here.
    """
    await receive()
    state = scope.setdefault("state", {})
    # The guard watches the event loop from the end of the start on.
    started = state["started"] = asyncio.Event()
    try:
        async with AsyncExitStack() as opened:
            if failure := await _open(lifespans, state, opened):
                await send({"type": "lifespan.startup.failed", "message": failure})
                return
            _freeze()
            started.set()
            with _on_stop_signal(on_stop):
                await send({"type": "lifespan.startup.complete"})
                await receive()

            # A process that got no signal, such as a test's server, is told here.
            on_stop()
            await wait_for_requests()
    except Exception as error:
        logger.exception("The shutdown failed: some of what the process had opened is not closed.")
        await send({"type": "lifespan.shutdown.failed", "message": f"The shutdown failed: {error}"})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def _open(
    lifespans: Sequence[Lifespan], state: dict[str, Any], opened: AsyncExitStack
) -> str | None:
    """Open the lifespans in their order; why one of them failed, or None."""
    for lifespan in lifespans:
        try:
            await opened.enter_async_context(lifespan(state))
        except Exception as error:
            return _start_failure(lifespan, error)
    return None


def _freeze() -> None:
    """Exempt what the start made from garbage collection: it lives as long as the process.

    This saves a tenth of the CPU of a trivial request (docs/decisions/0001 of the template).
    """
    gc.collect()
    gc.freeze()


def _start_failure(lifespan: Lifespan, error: Exception) -> str:
    """Why the process does not start, in a sentence.

    A wrong setting is told without a traceback; anything else is a bug.
    """
    logger.error(
        "The start failed.", exc_info=None if isinstance(error, ImproperlyConfigured) else error
    )
    where = getattr(lifespan, "__module__", type(lifespan).__module__)
    return f"The service did not start, {where} failed: {type(error).__name__}: {error}"


@contextmanager
def _on_stop_signal(on_stop: Callable[[], None]) -> Iterator[None]:
    """Call `on_stop` at SIGTERM and SIGINT, before the handlers that the server has set.

    The server tells the application of a stop only after all connections have closed.
    """
    loop = asyncio.get_running_loop()
    previous: dict[int, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(on_stop)
        if callable(previous[number]):
            previous[number](number, frame)
        elif previous[number] is signal.SIG_DFL:
            # No server handles the signal, as in a script that runs the application itself.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    try:
        for stop in (signal.SIGTERM, signal.SIGINT):
            previous[stop] = signal.getsignal(stop)
            signal.signal(stop, handle)
    except ValueError:
        # Only a main thread may set handlers. The server of a test runs in another thread, and
        # ends by the lifespan protocol alone.
        pass
    try:
        yield
    finally:
        for number in previous:
            if signal.getsignal(number) is handle:
                signal.signal(number, previous[number])
