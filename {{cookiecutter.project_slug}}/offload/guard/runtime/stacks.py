"""Reads stacks: what a thread runs, where a task waits, and whose code it is."""

import sys
import sysconfig
from asyncio import Task
from collections.abc import Sequence
from inspect import CORO_SUSPENDED, getcoroutinestate, iscoroutine
from pathlib import Path
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, NamedTuple

# Files that belong to Python or to an installed package. "<" begins the names of code without a
# file, such as "<string>".
_LIBRARIES = (
    "<",
    *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")},
)
_ROOT = f"{Path.cwd()}/"
# Not by the prefix alone: a package `offload_billing` beside them is the service's own.
_STANDARD = tuple(f"{Path(__file__).parents[3] / name}/" for name in ("offload", "offload_dev"))
# The event loop's own functions. A callback's functions are above them on the stack. uvloop is
# written in C and has no frames, so the functions that run uvloop stand for it.
_EVENT_LOOP = (
    *("/asyncio/base_events.py", "/asyncio/events.py", "/asyncio/runners.py", "/selectors.py"),
    *("/uvicorn/_compat.py", "/uvloop/__init__.py"),
)


class Step(NamedTuple):
    """One function on a stack, at the line where it is."""

    code: CodeType
    line: int
    frame: FrameType

    def __str__(self) -> str:
        path = self.code.co_filename.removeprefix(_ROOT)
        return f"{path}:{self.line} {self.code.co_qualname}"


def of_this_thread() -> list[Step]:
    """What this thread runs, outermost first; inside an event loop, from its callback on."""
    return _from_callback(sys._getframe(1))[0]  # noqa: SLF001 - documented, whatever its name


def of_running_loop(thread: int) -> list[Step]:
    """What the event loop of a thread runs, outermost first; empty while the loop waits."""
    steps, in_loop = _from_callback(frames_of_other_threads().get(thread))
    return steps if in_loop else []


def frames_of_other_threads() -> dict[int, FrameType]:
    """The innermost frame of each thread but the calling one.

    The frame of the calling thread leads to the variable that holds this dict: a circle. All these
    frames would wait for the garbage collector, with the requests, bodies and sockets in them.
    """
    frames = sys._current_frames()  # noqa: SLF001 - documented, whatever its name
    del frames[get_ident()]
    return frames


def of_thread(frame: FrameType | None) -> list[Step]:
    """All that a thread runs, outermost first."""
    steps: list[Step] = []
    while frame is not None:
        steps.append(Step(frame.f_code, frame.f_lineno, frame))
        frame = frame.f_back
    return steps[::-1]


def _from_callback(frame: FrameType | None) -> tuple[list[Step], bool]:
    """The steps above the event loop's own, outermost first; and whether there is a loop at all."""
    steps: list[Step] = []
    while frame is not None and not frame.f_code.co_filename.endswith(_EVENT_LOOP):
        steps.append(Step(frame.f_code, frame.f_lineno, frame))
        frame = frame.f_back
    return steps[::-1], frame is not None


def of_task(task: Task[Any]) -> list[Step]:
    """Where a waiting task waits: from its first coroutine to the innermost, outermost first."""
    steps: list[Step] = []
    awaited: Any = task.get_coro()

    while awaited is not None:
        # Coroutines, asynchronous generators and generators name their attributes differently.
        kinds = ("cr", "ag", "gi")
        kind = next((kind for kind in kinds if getattr(awaited, f"{kind}_frame", None)), None)
        if kind is None:
            # A future, or something that is written in C.
            break

        frame = getattr(awaited, f"{kind}_frame")
        steps.append(Step(frame.f_code, frame.f_lineno, frame))
        inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
        awaited = getattr(awaited, inner) or _driven_by_hand(frame)
    return steps


def _driven_by_hand(frame: FrameType) -> Any:
    """The coroutine that a function runs by `send()`, as the request handler does.

    It is the suspended coroutine among the function's variables.
    """
    held = (value for value in frame.f_locals.values() if iscoroutine(value))
    return next((value for value in held if getcoroutinestate(value) == CORO_SUSPENDED), None)


def shared_frames(earlier: list[Step], later: list[Step]) -> list[Step]:
    """The functions that both samples show and that did not return in between.

    They stand at their lines of the later sample, outermost first.
    """
    shared = 0
    for before, after in zip(earlier, later, strict=False):
        if before.frame is not after.frame:
            break
        shared += 1
    return later[:shared]


def is_service_code(step: Step) -> bool:
    """Whether a function is the service's own: neither a library's nor the standard's."""
    return not step.code.co_filename.startswith((*_LIBRARIES, *_STANDARD))


def _is_library_code(step: Step) -> bool:
    return step.code.co_filename.startswith(_LIBRARIES)


def responsible_step(steps: Sequence[Step]) -> Step | None:
    """The innermost function of the service; else of the standard; else of a library."""
    service = [step for step in steps if is_service_code(step)]
    no_library = [step for step in steps if not _is_library_code(step)]
    return next((found[-1] for found in (service, no_library, steps) if found), None)


def of_interest(steps: Sequence[Step]) -> list[Step]:
    """The functions that a reader of the log needs, outermost first.

    The service's own, and the innermost one, which says what they called. Where the service has
    none: the standard's and the innermost one.
    """
    own = [step for step in steps if is_service_code(step)]
    own = own or [step for step in steps if not _is_library_code(step)]
    innermost = [step for step in steps[-1:] if step not in own]
    return [*own, *innermost]


def find_request(steps: Sequence[Step]) -> Any:
    """The Django request that a stack works for, or None.

    It is the variable `request` of one of the functions. So nothing has to be kept per request.
    """
    for step in reversed(steps):
        if "request" in step.code.co_varnames:
            found = step.frame.f_locals.get("request")
            if hasattr(found, "method") and hasattr(found, "path"):
                return found
    return None


def request_label(request: Any) -> str:
    """A request for people: `GET /api/quotes`, without its query, which may hold secrets."""
    return f"{request.method} {request.path}" if request is not None else ""
