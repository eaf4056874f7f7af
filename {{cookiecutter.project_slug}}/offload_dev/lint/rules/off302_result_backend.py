"""OFF302: the result backend is read on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.snippet import snippet
from offload_dev.lint.source import own_nodes
from offload_dev.lint.violations import Violation, violation

METHODS = {"get", "ready", "successful", "failed", "wait"}
# Only the task's id is known without the backend.
PROPERTIES = {
    *("state", "status", "result", "info", "traceback", "date_done"),
    *("name", "args", "kwargs", "worker", "retries", "queue"),
}
# With these states a task has ended. With another one, Celery asks the backend again.
END_STATES = {"SUCCESS", "FAILURE", "REVOKED"}
ASKS_FOR_END = {"ready", "successful", "failed"}


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
    known = set(_known_by_condition(function)) if function.read_of_results else set()
    for node in function.read_of_results:
        if node in known:
            continue
        if node.attr in PROPERTIES and node not in called:
            yield violation(node, snippet(node))
        elif node.attr in METHODS and called.get(node) is False:
            yield violation(node, f"{snippet(node)}()")


def _known_by_condition(function: Function) -> Iterator[ast.AST]:
    """What stands below `if result.ready():` and reads the same `result`."""
    for branch in own_nodes(function.scope.node):
        if isinstance(branch, ast.If):
            ended = set(_ended(branch.test))
            for node in (each for statement in branch.body for each in ast.walk(statement)):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ended:
                    yield node


def _ended(test: ast.expr) -> Iterator[str]:
    """The results whose tasks have ended if a condition is true."""
    match test:
        case ast.Call(func=ast.Attribute(value=result, attr=attr)) if attr in ASKS_FOR_END:
            yield ast.unparse(result)
        case ast.Compare(
            left=ast.Attribute(value=result, attr="state" | "status"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value=state)],
        ) if state in END_STATES:
            yield ast.unparse(result)
        case ast.BoolOp(op=ast.And(), values=values):
            for value in values:
                yield from _ended(value)
