"""Celery's results that are read when their task has ended."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.nodes import all_nodes, own_nodes

# With these states a task has ended. With another one, Celery asks the backend again.
END_STATES = {"SUCCESS", "FAILURE", "REVOKED"}
ASKS_FOR_END = {"ready", "successful", "failed"}


def known_by_condition(function: Function) -> Iterator[ast.AST]:
    """What stands below `if result.ready():` and reads the same `result`."""
    for branch in own_nodes(function.scope.node):
        if isinstance(branch, ast.If):
            ended = set(_ended(branch.test))
            for node in (each for statement in branch.body for each in all_nodes(statement)):
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
