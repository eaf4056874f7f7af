"""Runs the guard as long as the process lives: the checks at start, then the watchdog."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from offload.conf import conf
from offload.guard.checks import run_checks
from offload.guard.runtime import slow_requests
from offload.guard.runtime.block_log import BlockLog, LagLog
from offload.guard.runtime.stack_dump import dump_on_signal
from offload.guard.runtime.watchdog import Watchdog


@dataclass(frozen=True)
class GuardState:
    """What the guard keeps in the lifespan's state, under the key `guard`."""

    watchdog: Watchdog
    blocks: BlockLog
    lags: LagLog


def guard_of(request: HttpRequest) -> GuardState | None:
    """The guard of the process that serves a request; None without the guard's lifespan."""
    found: GuardState | None = getattr(request, "scope", {}).get("state", {}).get("guard")
    return found


@asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Refuse to start on settings that block the event loop, then watch the loop.

    Args:
        state: the lifespan's state. `state["guard"]` becomes a `GuardState`. The watchdog starts
            when the event `state["started"]` is set; where there is no such event, at once.

    Raises:
        StartRefused: the settings block the event loop; the text has one sentence for each place.
    """
    await asyncio.to_thread(run_checks)

    loop, limits = asyncio.get_running_loop(), conf()
    blocks, lags = BlockLog(), LagLog()
    watchdog = Watchdog(
        loop,
        threshold=limits.block_threshold,
        hang=limits.hang_threshold,
        report=blocks.add,
        lag=lags.add,
        report_pause=blocks.add_pause,
    )
    state["guard"] = GuardState(watchdog, blocks, lags)
    watching = asyncio.create_task(
        _watch(watchdog, state.get("started"), limits.slow_request), name="offload-guard"
    )

    try:
        with dump_on_signal(loop):
            yield
    finally:
        watching.cancel()
        await watchdog.stop()


async def _watch(watchdog: Watchdog, started: asyncio.Event | None, slow_request: float) -> None:
    """Watch the loop and the requests. Never returns.

    Nothing is watched before the start is over: no client waits yet, and the start blocks the loop
    by design (imports, one garbage collection).
    """
    if started is not None:
        await started.wait()
    watchdog.start()
    await slow_requests.log_slow_requests(slow_request)
