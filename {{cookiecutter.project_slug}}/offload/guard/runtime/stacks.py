"""Reads stacks: the place in one's own code, the request it belongs to, and where a task waits."""

import sys
import sysconfig
from asyncio import Task
from collections.abc import Sequence
from inspect import CORO_SUSPENDED, getcoroutinestate, iscoroutine
from pathlib import Path
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, NamedTuple

from asgiref.sync import AsyncToSync, SyncToAsync

_LIBRARIES = (
    "<",
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)
_ROOT = f"{Path.cwd()}/"
_STANDARD = str(Path(__file__).parents[2])
# Below these frames nothing belongs to a callback: asyncio's loop, and who runs uvloop's, which has
# no frames.
_MACHINERY = (
    *("/asyncio/base_events.py", "/asyncio/events.py", "/asyncio/runners.py", "/selectors.py"),
    *("/uvicorn/_compat.py", "/uvloop/__init__.py"),
)
# The two ends of a sync call in asgiref, and a variable that both have and no other call.
_AWAITED, _IN_THREAD, _CALL = (
    SyncToAsync.__call__.__code__,
    SyncToAsync.thread_handler.__code__,
    "task_context",
)


class Step(NamedTuple):
    """One function on a stack, at the line where it is."""

    code: CodeType
    line: int
    frame: FrameType

    def __str__(self) -> str:
        path = self.code.co_filename.removeprefix(_ROOT)
        return f"{path}:{self.line} {self.code.co_qualname}"


def here() -> list[Step]:
    """What this thread is running, outermost first; inside a loop, from its callback on."""
    return _from_loop(sys._getframe(1))[0]  # noqa: SLF001 - a public function, by its documentation


def running(thread: int) -> list[Step]:
    """What a thread's event loop is running, outermost first; empty while the loop waits."""
    steps, in_loop = _from_loop(sys._current_frames().get(thread))  # noqa: SLF001 - the same
    return steps if in_loop else []


def _from_loop(frame: FrameType | None) -> tuple[list[Step], bool]:
    steps: list[Step] = []
    while frame is not None and not frame.f_code.co_filename.endswith(_MACHINERY):
        steps.append(Step(frame.f_code, frame.f_lineno, frame))
        frame = frame.f_back
    return steps[::-1], frame is not None


def waiting(task: Task[Any]) -> list[Step]:
    """Where a task that is not running waits: from its first coroutine to the one that waits,
    outermost first.
    """
    steps: list[Step] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        kind = next(
            (kind for kind in ("cr", "ag", "gi") if getattr(awaited, f"{kind}_frame", None)), None
        )
        if kind is None:
            # A future, or what is written in C.
            break
        frame = getattr(awaited, f"{kind}_frame")
        steps.append(Step(frame.f_code, frame.f_lineno, frame))
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await") or _driven(
            frame
        )
    return steps


def in_threads() -> dict[int, list[Step]]:
    """What each sync call that asgiref has handed to a thread is doing, outermost first, by what
    `sync_call` gives.
    """
    found: dict[int, list[Step]] = {}
    for thread, innermost in sys._current_frames().items():  # noqa: SLF001 - the same
        steps: list[Step] = []
        # One's own would keep itself alive.
        frame = innermost if thread != get_ident() else None
        while frame is not None:
            if frame.f_code is _IN_THREAD:
                found[id(frame.f_locals[_CALL])] = steps[::-1]
            steps.append(Step(frame.f_code, frame.f_lineno, frame))
            frame = frame.f_back
    return found


def sync_call(steps: Sequence[Step]) -> int:
    """The identity of the sync call that a task waits for; 0 if it waits for none."""
    return next(
        (id(step.frame.f_locals[_CALL]) for step in reversed(steps) if step.code is _AWAITED), 0
    )


def waits_for_loop(steps: Sequence[Step]) -> bool:
    """Whether a thread waits for a coroutine, by `async_to_sync`."""
    return any(step.code is AsyncToSync.__call__.__code__ for step in steps)


def _driven(frame: FrameType) -> Any:
    """The coroutine that a generator drives by hand, as the request handler does: a suspended one
    it holds.
    """
    held = (value for value in frame.f_locals.values() if iscoroutine(value))
    return next((value for value in held if getcoroutinestate(value) == CORO_SUSPENDED), None)


def common(earlier: list[Step], later: list[Step]) -> list[Step]:
    """The frames that both samples show: the functions that did not return in between, at their
    later lines.
    """
    shared = 0
    for before, after in zip(earlier, later, strict=False):
        if before.frame is not after.frame:
            break
        shared += 1
    return later[:shared]


def in_service(step: Step) -> bool:
    """Whether a function is the service's own: no library's, and none of this standard's."""
    return not step.code.co_filename.startswith((*_LIBRARIES, _STANDARD))


def place(steps: Sequence[Step]) -> Step | None:
    """The innermost function of the service's own; else of the standard; else of a library."""
    service = [step for step in steps if in_service(step)]
    own = [step for step in steps if not step.code.co_filename.startswith(_LIBRARIES)]
    return next((found[-1] for found in (service, own, steps) if found), None)


def request(steps: Sequence[Step]) -> Any:
    """The Django request that a stack works for, found in its functions' variables: nothing is kept
    per request.
    """
    for step in reversed(steps):
        if "request" in step.code.co_varnames:
            found = step.frame.f_locals.get("request")
            if hasattr(found, "method") and hasattr(found, "path"):
                return found
    return None


def label(request: Any) -> str:
    """A request for people: `GET /api/quotes`, without its query, which may hold secrets."""
    return f"{request.method} {request.path}" if request is not None else ""
