"""OFF305: a task waits for another task."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import PUBLISH
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

RESULTS = {*PUBLISH, "AsyncResult", "GroupResult"}
# `join` waits for all tasks of a group.
WAITS = {"get", "join", "join_native"}


@rule(
    "OFF305",
    message="waits for a task inside of a task",
    instead="a chain or a chord, or a job that is divided into parts",
    target=Target.FUNCTION,
)
def task_waits_for_task(function: Function) -> Iterator[Violation]:
    """Finds `.get()` on the result of a task, and `.join()` on that of a group, inside of a task.

    Each waiting task holds a worker process and needs a second one. When all processes wait, none
    of them ever goes on.
    """
    if not function.is_task:
        return
    for call in function.calls:
        if call.method in WAITS and call.holder.rpartition(".")[2] in RESULTS:
            yield call_violation(call.node)
