"""The slow-request log: says of a request without an answer where it waits, while it waits."""

import asyncio
import logging
from functools import cache
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from offload.guard.runtime import metrics, stacks

logger = logging.getLogger("offload.guard")
# Functions in which a request may take its time: the handler's that sends an answer, perhaps a
# stream (the view is done), and one that waits as long as its caller asked to.
PATIENT = {"send_response", "long_poll"}


async def watch(threshold: float) -> None:
    """Look at all tasks, some microseconds each, and log each slow request once; never returns.

    Args:
        threshold: seconds after which a request is slow. Tasks are looked at once a second;
            threads, too, when a request has become slow: 3.6 ms for 100 threads of 45 frames
            (measured).
    """
    seen: WeakKeyDictionary[asyncio.Task[Any], float] = WeakKeyDictionary()
    told: WeakSet[Any] = WeakSet()
    while True:
        await asyncio.sleep(min(1.0, threshold / 2))
        now = monotonic()
        old = [
            task for task in asyncio.all_tasks() if now - seen.setdefault(task, now) >= threshold
        ]
        for request, place in _waiting(old, told).items():
            told.add(request)
            metrics.SLOW.inc()
            logger.warning(
                "%s has no answer after %.1f s: it waits at %s",
                stacks.label(request),
                threshold,
                place,
            )


def _waiting(tasks: list[asyncio.Task[Any]], told: WeakSet[Any]) -> dict[Any, stacks.Step]:
    """Where each other request waits: several tasks may work for one, and the service's innermost
    line tells most.
    """
    found: dict[Any, tuple[tuple[bool, bool, bool], stacks.Step]] = {}
    # All threads are looked at once, and only if a request is slow.
    threads = cache(stacks.in_threads)
    for task in tasks:
        steps = stacks.waiting(task)
        request = stacks.request(steps)
        if (
            request is None
            or request in told
            or any(step.code.co_name in PATIENT for step in steps)
        ):
            continue
        thread = threads().get(stacks.sync_call(steps), [])
        place = _place(steps, thread)
        # A thread tells more than who waits for it, and less than the task on the loop for which it
        # waits itself.
        rank = stacks.in_service(place), not stacks.waits_for_loop(thread), bool(thread)
        if request not in found or rank > found[request][0]:
            found[request] = rank, place
    return {request: place for request, (_, place) in found.items()}


def _place(steps: list[stacks.Step], thread: list[stacks.Step]) -> stacks.Step:
    """The service's own line, in the thread or before it; without one what the thread does, not who
    waits for it.
    """
    place = stacks.place([*steps, *thread])
    assert place is not None, "a task that has a request has a frame"
    return thread[-1] if thread and not stacks.in_service(place) else place
