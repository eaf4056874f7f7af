"""OFF501: a task is started, but nothing refers to it."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import NEW_TASK
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF501",
    message="starts a task that nothing refers to",
    instead="a `TaskGroup`; for work after the answer, a job",
    target=Target.FUNCTION,
)
def lost_task(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.create_task(…)` whose result is not kept.

    The event loop has only a weak reference to a task, so the garbage collector may end it half
    way. Nobody sees its exception. A plain receiver of a model's signal has no event loop: Django
    refuses the `save()` that sends the signal on a loop's thread.
    """
    if _receives_row(function):
        return
    for call in function.calls:
        if call.dropped and NEW_TASK.matches(call.origin):
            yield call_violation(call.node)


def _receives_row(function: Function) -> bool:
    arguments = getattr(function.scope.node, "args", None)
    names = {each.arg for each in arguments.args} if arguments else set()
    return not function.scope.on_loop and {"sender", "instance"} <= names
