"""Start and end of the process: opens what the rooms own, and closes it after the last request."""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from offload.serving.stop_signals import on_stop_signal
from offload.serving.types import Lifespan, Receive, Scope, Send

logger = logging.getLogger("offload.serving")

# The collector comes when so many objects more were made than freed. CPython's own is 700. A few
# fan-outs under way have many times as many, which it looks at again and again and finds in use:
# ten calls a request under 16 clients spent 10.5 % of their CPU in it, 6.5 % with 2,000, and 1.8 %
# with this.
YOUNG_OBJECTS = 10_000


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
        on_stop: called on the loop when the process stops (`stop_signals.py`), and again when the
            server has closed its connections.
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
            _collect_garbage_seldom()
            started.set()
            with on_stop_signal(on_stop, state):
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


def _collect_garbage_seldom() -> None:
    """Let garbage collection take little of the requests' CPU.

    1. What the start made is exempt, since it lives as long as the process. This saves a tenth of
       the CPU of a trivial request.
    2. Young objects are looked at when there are `YOUNG_OBJECTS`.
    """
    gc.collect()
    gc.freeze()
    young, *older = gc.get_threshold()
    # 0 turns the collector off.
    if young:
        gc.set_threshold(max(young, YOUNG_OBJECTS), *older)


def _start_failure(lifespan: Lifespan, error: Exception) -> str:
    """Why the process does not start, in a sentence.

    A wrong setting is told without a traceback; anything else is a bug.
    """
    logger.error(
        "The start failed.", exc_info=None if isinstance(error, ImproperlyConfigured) else error
    )
    where = getattr(lifespan, "__module__", type(lifespan).__module__)
    return f"The service did not start, {where} failed: {type(error).__name__}: {error}"
