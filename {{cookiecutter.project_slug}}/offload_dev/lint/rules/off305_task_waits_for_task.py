"""OFF305: a task waits for another task."""

from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.functions.function import Function

# Further away a condition stands on the way, as a rule.
MAX_STEPS = 3
BY_TASK = "right if no task calls it this way"


@rule(
    "OFF305",
    message="waits for a task inside of a task",
    instead="a chain or a chord, or a job that is divided into parts",
    target=Target.CALL_GRAPH,
)
def task_waits_for_task(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds `.get()` on the result of a task, and `.join()` on that of a group, inside of a task.

    Also a loop that asks again and again whether a task is `ready()`, and what functions do that
    the task calls; the latter is a warning. Each waiting task holds a worker process and needs a
    second one. When all processes wait, none of them ever goes on.
    """
    if not function.is_task:
        return
    yield from graph.result_waits.own(function)
    for found in graph.result_waits.through_calls(function):
        if len(found.chain) <= MAX_STEPS:
            yield found._replace(likely=found.likely or BY_TASK)
