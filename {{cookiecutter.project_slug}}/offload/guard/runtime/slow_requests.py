"""The slow-request log: where a request waits that has no answer yet."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import cache
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from asgiref.sync import AsyncToSync, SyncToAsync

from offload.guard.runtime import metrics, stacks
from offload.serving.request_state import state_of

logger = logging.getLogger("offload.guard")

# The tasks are looked at so often, or twice within the threshold if that is shorter.
LONGEST_INTERVAL_SECONDS = 1.0
# A task is looked at again after this time at the latest: its request may only then have been read.
LONGEST_WAIT_SECONDS = 8.0
# Of a sync call of asgiref: the function of the task that waits, and that of the thread that works.
# Both have a variable of this name with the same value, which no other call has.
_WAITING_END, _WORKING_END = SyncToAsync.__call__.__code__, SyncToAsync.thread_handler.__code__
_CALL_VARIABLE = "task_context"
# After this time of looking the loop serves others, and then the other tasks are looked at.
LOOK_SECONDS = 0.005


class _Waiting(NamedTuple):
    """Where a request waits. The greatest `rank` tells most, if several tasks work for one."""

    rank: tuple[bool, bool, bool]
    place: str


class _NextLook(NamedTuple):
    """When a task is looked at next (`monotonic()`), and the wait after that, in seconds."""

    due: float
    wait: float


async def log_slow_requests(threshold: float) -> None:
    """Look at the tasks again and again, and log each slow request once. Never returns.

    A look takes some 30 microseconds for each task. A task that was looked at is left alone for
    twice as long each time, up to `LONGEST_WAIT_SECONDS`: a process may have thousands of event
    streams and WebSockets, and to look at all of them each second would block the loop. The threads
    are looked at only when a request has become slow: 3.6 ms for 100 threads of 45 frames
    (measured).

    Args:
        threshold: seconds after which a request without an answer is slow.
    """
    next_looks: WeakKeyDictionary[asyncio.Task[Any], _NextLook] = WeakKeyDictionary()
    logged: WeakSet[Any] = WeakSet()
    while True:
        await asyncio.sleep(min(LONGEST_INTERVAL_SECONDS, threshold / 2))
        # Its variables end with it. Here they would keep the last requests alive.
        await _log_due(_due_tasks(next_looks, threshold), logged, threshold)


async def _log_due(due: list[asyncio.Task[Any]], logged: WeakSet[Any], threshold: float) -> None:
    """Log the slow requests of these tasks that are not logged yet."""
    found = await _where_requests_wait(due, logged)
    for request, place in found.items():
        # The loop has served others since.
        if _may_take_its_time(request):
            continue
        logged.add(request)
        metrics.SLOW_REQUESTS.inc()
        logger.warning(
            "%s has no answer after %.1f s: it waits at %s",
            stacks.request_label(request),
            threshold,
            place,
        )


def _due_tasks(
    next_looks: WeakKeyDictionary[asyncio.Task[Any], _NextLook], threshold: float
) -> list[asyncio.Task[Any]]:
    """The tasks to look at now: first when one is as old as the threshold."""
    now, due = monotonic(), []
    first = _NextLook(now + threshold, threshold)
    for task in asyncio.all_tasks():
        look = next_looks.setdefault(task, first)
        if look.due <= now:
            wait = min(look.wait, max(threshold, LONGEST_WAIT_SECONDS))
            next_looks[task] = _NextLook(now + wait, 2 * wait)
            due.append(task)
    return due


async def _where_requests_wait(
    tasks: list[asyncio.Task[Any]], logged: WeakSet[Any]
) -> dict[Any, str]:
    """Where each request waits that is not logged yet."""
    found: dict[Any, _Waiting] = {}
    # All threads are looked at once, and only if a request is slow.
    threads = cache(_calls_in_threads)
    until = monotonic() + LOOK_SECONDS

    for task in tasks:
        if monotonic() >= until:
            await asyncio.sleep(0)
            until = monotonic() + LOOK_SECONDS
        steps = stacks.of_task(task)
        request = stacks.find_request(steps)
        if request is None or request in logged:
            continue
        if _may_take_its_time(request):
            continue

        waiting = _where_task_waits(steps, threads)
        if request not in found or waiting.rank > found[request].rank:
            found[request] = waiting
    return {request: waiting.place for request, waiting in found.items()}


def _may_take_its_time(request: Any) -> bool:
    """Whether a request that takes long is no slow request.

    Three cases: its response has begun; its view waits as long as the client asked for; it is a
    WebSocket, which may be silent for hours.
    """
    if "subprotocols" in getattr(request, "scope", {}):
        return True
    state = state_of(request)
    return state is not None and (state.response_started or state.is_event_stream)


def _where_task_waits(
    steps: list[stacks.Step], threads: Callable[[], dict[int, list[stacks.Step]]]
) -> _Waiting:
    """The line that says most about a waiting task, and how much it says.

    Three cases, the one that says most first:

    1. A line of the service, in the task or in the thread for which the task waits.
    2. What that thread does, whatever code it is.
    3. The innermost line of the task.
    """
    thread = threads().get(_awaited_call(steps), [])
    step = stacks.responsible_step([*steps, *thread])
    assert step is not None, "a task that has a request has a frame"

    in_service = stacks.is_service_code(step)
    if thread and not in_service:
        step = thread[-1]
    # A thread says more than a task that waits for it. It says less than the task on the loop for
    # which the thread waits itself.
    rank = (in_service, not _waits_for_loop(thread), bool(thread))
    return _Waiting(rank, str(step))


def _awaited_call(steps: Sequence[stacks.Step]) -> int:
    """The identity of the sync call that a task waits for; 0 if it waits for none."""
    for step in reversed(steps):
        if step.code is _WAITING_END:
            return id(step.frame.f_locals[_CALL_VARIABLE])
    return 0


def _calls_in_threads() -> dict[int, list[stacks.Step]]:
    """The steps of each sync call that a thread runs, outermost first, by the call's identity."""
    found: dict[int, list[stacks.Step]] = {}
    for innermost in stacks.frames_of_other_threads().values():
        steps: list[stacks.Step] = []
        frame = innermost
        while frame is not None:
            if frame.f_code is _WORKING_END:
                found[id(frame.f_locals[_CALL_VARIABLE])] = steps[::-1]
            steps.append(stacks.Step(frame.f_code, frame.f_lineno, frame))
            frame = frame.f_back  # type: ignore[assignment]
    return found


def _waits_for_loop(steps: Sequence[stacks.Step]) -> bool:
    """Whether a thread waits for a coroutine on the event loop, by `async_to_sync`."""
    return any(step.code is AsyncToSync.__call__.__code__ for step in steps)
