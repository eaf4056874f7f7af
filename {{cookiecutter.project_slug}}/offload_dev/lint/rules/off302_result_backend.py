"""OFF302: the result backend is read on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.tasks.ended_results import known_by_condition

METHODS = {"get", "ready", "successful", "failed", "wait", "forget", "restore", "join"}
METHODS |= {"completed_count", "waiting"}
# Only the task's id is known without the backend.
PROPERTIES = {
    *("state", "status", "result", "info", "traceback", "date_done"),
    *("name", "args", "kwargs", "worker", "retries", "queue"),
}


@rule(
    "OFF302",
    message="reads the result backend on the event loop",
    instead="the job's row, or its event stream",
    target=Target.THREAD,
)
def result_backend(function: Function) -> Iterator[Violation]:
    """Finds reads of an `AsyncResult`.

    Each one calls the result backend over a socket, and `.get()` waits until the task has ended.
    Once a condition has found that the task has ended, the object itself knows the result.
    """
    called = {call.node.func: call.awaited for call in function.calls}
    known = set(known_by_condition(function)) if function.read_of_results else set()
    for node in function.read_of_results:
        if node in known:
            continue
        if node.attr in PROPERTIES and node not in called:
            yield violation(node, snippet(node))
        elif node.attr in METHODS and called.get(node) is False:
            yield violation(node, f"{snippet(node)}()")
