"""Celery's messages: which tasks a call publishes, also by signatures, groups and chains."""

import ast
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import PUBLISH
from offload_dev.lint.source.nodes import all_nodes, assigned, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope

CANVAS = Patterns("celery.{,canvas.}{group,chain,chord}")
# They make a signature of a task, and another one of a signature: `send.s(1).set(countdown=9)`.
SIGNS = {"s", "si", "signature", "subtask"}
CHANGES = {"set", "clone"}
# `join` waits for all tasks of a group.
WAITS = {"get", "join", "join_native"}
RESULTS = {*PUBLISH, "AsyncResult", "GroupResult", "restore"}


class Message(NamedTuple):
    """A task that is published, and the call that has its arguments."""

    task: CodeScope
    call: ast.Call


def task_of(origin: str, resolver: Resolver) -> CodeScope | None:
    """The task that an origin names, also by a signature: `tasks.send.s` is `tasks.send`."""
    parts = origin.split(".")
    while parts[-1] in SIGNS | CHANGES:
        parts.pop()
    task = resolver.function(".".join(parts))
    return task if resolver.decorators.is_task(task) else None


def is_result(holder: str) -> bool:
    """Whether this is the result of a task, or of a canvas, that was published."""
    return holder.rpartition(".")[2] in RESULTS or CANVAS.matches(holder)


def is_ready_loop(node: ast.AST, function: Function) -> TypeGuard[ast.While]:
    """Whether a loop waits for a task: `while not result.ready(): time.sleep(1)`."""
    match node:
        case ast.While(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as asked), body=body):
            call = function.calls_by_node.get(asked)
            is_asked = call is not None and call.method == "ready" and is_result(call.holder)
            ends = (ast.Break, ast.Return, ast.Raise)
            return is_asked and not any(
                isinstance(each, ends) for statement in body for each in all_nodes(statement)
            )
    return False


def result_waits(function: Function) -> Iterator[Violation]:
    """The lines of a function that wait until other tasks have ended."""
    for call in function.calls:
        if call.method in WAITS and is_result(call.holder) and not _reads_key(call.node):
            yield call_violation(call.node)
    for node in own_nodes(function.scope.node) if function.scope.module.has(".ready()") else ():
        if is_ready_loop(node, function):
            yield violation(node, f"`while {snippet(node.test)}`")


def _reads_key(call: ast.Call) -> bool:
    """Whether this is `get` of a dictionary, which a signature is: `signature.get("task")`."""
    return any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in call.args)


def publishes(call: CallSite, function: Function) -> bool:
    """Whether a call publishes: `task.delay()`, `chain(…).apply_async()`, `group(…)()`."""
    if CANVAS.matches(call.origin):
        # Without the local variables, only the function that puts it together has this origin.
        made = function.resolver.origin(call.node.func, function.scope)
        return isinstance(call.node.func, ast.Call) or not CANVAS.matches(made)
    return call.method in PUBLISH


def messages(call: CallSite, function: Function) -> list[Message]:
    """The tasks that a call publishes, as far as the source names them. Three cases:

    1. `task.delay(1)`, and `send.apply_async((1,))`. Also one of a table: `TASKS[name].delay(1)`.
    2. A signature: `send.s(1).apply_async()`.
    3. A canvas: `chain(send.s(1), store.s()).delay()`, also through a variable.
    """
    resolver = function.resolver
    if not publishes(call, function):
        return []
    if signed := list(_signed(call.node, function)):
        return signed
    tasks = [task_of(call.holder, resolver), *resolver.functions_of_table(call.holder)]
    return [Message(task, call.node) for task in tasks if resolver.decorators.is_task(task) if task]


def _signed(published: ast.Call, function: Function) -> Iterator[Message]:
    """The signatures in what is published."""
    held = published.func
    if isinstance(held, ast.Attribute) and held.attr in PUBLISH:
        held = held.value
    for node in all_nodes(assigned(held, function.scope.node)):
        call = function.calls_by_node.get(node) if isinstance(node, ast.Call) else None
        task = task_of(call.holder, function.resolver) if call and call.method in SIGNS else None
        if call is not None and task is not None:
            yield Message(task, call.node)
