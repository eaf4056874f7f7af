"""OFF502: a task outlives the request that started it."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.names import NEW_TASK


@rule(
    "OFF502",
    message="keeps a task that outlives the request",
    instead="a `TaskGroup`, or a job",
    target=Target.FUNCTION,
    severity="warning",
)
def task_outlives_request(function: Function) -> Iterator[Violation]:
    """Finds tasks that are put into a list or set of the module.

    Such a task lives past its request and its deadline. A shutdown ends it wherever it is.
    """
    for call in function.calls:
        is_kept = call.method in ("append", "add") and _is_of_module(call, function)
        if is_kept and any(_starts_task(argument, function) for argument in call.node.args):
            yield call_violation(call.node)


def _is_of_module(call: CallSite, function: Function) -> bool:
    holder = call.node.func.value if isinstance(call.node.func, ast.Attribute) else None
    return isinstance(holder, ast.Name) and holder.id in function.scope.module.names


def _starts_task(node: ast.expr, function: Function) -> bool:
    call = function.calls_by_node.get(node)
    return call is not None and NEW_TASK.matches(call.origin)
