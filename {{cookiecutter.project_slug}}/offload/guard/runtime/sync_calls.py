"""Finds what a sync call of asgiref does: a task waits for it, and a thread runs it."""

from collections.abc import Sequence
from threading import get_ident

from asgiref.sync import AsyncToSync, SyncToAsync

from offload.guard.runtime.stacks import Step, frames_of_threads

# The function of the task that waits, and the function of the thread that works. Both have a
# variable of this name with the same value, which no other call has.
_WAITING_END, _WORKING_END = SyncToAsync.__call__.__code__, SyncToAsync.thread_handler.__code__
_CALL_VARIABLE = "task_context"


def awaited_call(steps: Sequence[Step]) -> int:
    """The identity of the sync call that a task waits for; 0 if it waits for none."""
    for step in reversed(steps):
        if step.code is _WAITING_END:
            return id(step.frame.f_locals[_CALL_VARIABLE])
    return 0


def calls_in_threads() -> dict[int, list[Step]]:
    """The steps of each sync call that a thread runs, outermost first, by the call's identity."""
    found: dict[int, list[Step]] = {}
    for thread, innermost in frames_of_threads().items():
        # The frames of this thread would keep themselves alive.
        if thread == get_ident():
            continue

        steps: list[Step] = []
        frame = innermost
        while frame is not None:
            if frame.f_code is _WORKING_END:
                found[id(frame.f_locals[_CALL_VARIABLE])] = steps[::-1]
            steps.append(Step(frame.f_code, frame.f_lineno, frame))
            frame = frame.f_back  # type: ignore[assignment]
    return found


def waits_for_loop(steps: Sequence[Step]) -> bool:
    """Whether a thread waits for a coroutine on the event loop, by `async_to_sync`."""
    return any(step.code is AsyncToSync.__call__.__code__ for step in steps)
