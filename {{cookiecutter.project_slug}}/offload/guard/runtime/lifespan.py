"""Opens the running net with the process: checks once more, then watches until the process ends."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from offload.conf import conf
from offload.guard.checks import run_checks
from offload.guard.runtime import dump, metrics, slow
from offload.guard.runtime.watchdog import Block, Watchdog

logger = logging.getLogger("offload.guard")

# The newest last; the development header and the live page show them.
recent: deque[Block] = deque(maxlen=20)


def _report(block: Block) -> None:
    recent.append(block)
    metrics.count(block)
    stack = "\n".join(f"    {step}" for step in block.stack)
    logger.warning("%s\n%s\n    What to do: docs/when-async-helps/debugging.md", block, stack)


@asynccontextmanager
async def lifespan(state: dict[str, Any]) -> AsyncIterator[None]:
    """Refuse to start on settings that block, then watch the loop. `state["guard"]` is the
    watchdog.

    Raises:
        StartRefused: the settings break the rule; its text has a sentence for each place.
    """
    await asyncio.to_thread(run_checks)
    loop, knobs = asyncio.get_running_loop(), conf()
    watchdog = Watchdog(
        loop,
        threshold=knobs.block_threshold,
        hang=knobs.hang_threshold,
        report=_report,
        lag=metrics.LAG.observe,
    )
    state["guard"] = watchdog
    looking = asyncio.create_task(slow.watch(knobs.slow_request), name="offload-slow-requests")
    watchdog.start()
    try:
        with dump.on_signal(loop):
            yield
    finally:
        looking.cancel()
        await watchdog.stop()
