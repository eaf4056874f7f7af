"""The slow-request log: says of a request without an answer where it waits, while it waits."""

import asyncio
import logging
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from offload.guard.running import metrics, stacks

logger = logging.getLogger("offload.guard")
SENDING = "send_response"  # the handler's method that sends an answer, perhaps a stream: the view is done


async def watch(threshold: float) -> None:
    """Look at all tasks, some microseconds each, and log each slow request once; never returns.

    Args:
        threshold: seconds after which a request is slow. Tasks are looked at once a second.
    """
    seen: WeakKeyDictionary[asyncio.Task[Any], float] = WeakKeyDictionary()
    told: WeakSet[Any] = WeakSet()
    while True:
        await asyncio.sleep(min(1.0, threshold / 2))
        now = monotonic()
        old = [task for task in asyncio.all_tasks() if now - seen.setdefault(task, now) >= threshold]
        for request, place in _waiting(old).items():
            if request not in told:
                told.add(request)
                metrics.SLOW.inc()
                logger.warning("%s has no answer after %.1f s: it waits at %s", stacks.label(request), threshold, place)


def _waiting(tasks: list[asyncio.Task[Any]]) -> dict[Any, stacks.Step]:
    """Where each request waits: a handler may use several tasks for one, and that in the service's code tells most."""
    found: dict[Any, stacks.Step] = {}
    for task in tasks:
        steps = stacks.waiting(task)
        request, place = stacks.request(steps), stacks.place(steps)
        sending = any(step.code.co_name == SENDING for step in steps)
        if request is None or place is None or sending:
            continue
        if request not in found or stacks.in_service(place):
            found[request] = place
    return found
