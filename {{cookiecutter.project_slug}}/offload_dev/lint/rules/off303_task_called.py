"""OFF303: a task is called like a function."""

from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.tasks.other_queues import is_published_by_call


@rule(
    "OFF303",
    message="runs a task here, without its queue",
    instead="submit it, or call the plain function that the task wraps",
    target=Target.THREAD,
)
def task_called(function: Function) -> Iterator[Violation]:
    """Finds tasks that are called directly, or with `.apply()`.

    They run on the event loop, without queue, limits and retries.
    """
    resolver = function.resolver
    for call in function.calls_not_awaited:
        is_called = resolver.decorators.is_task(resolver.function(call.origin))
        is_applied = call.method == "apply" and resolver.decorators.is_task(
            resolver.function(call.holder)
        )
        if (is_called or is_applied) and not is_published_by_call(call.origin, function):
            yield call_violation(call.node)
