"""OFF304: a task is an async function."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, violation


@rule(
    "OFF304",
    message="is a task, but an async function, which Celery cannot run",
    instead="a plain function",
    target=Target.ASYNC_FUNCTION,
)
def async_task(function: Function) -> Iterator[Violation]:
    """Finds tasks that are async functions. The worker fails on the coroutine that they return."""
    if function.is_task:
        yield violation(function.scope.node, f"{function.scope.label}()")
