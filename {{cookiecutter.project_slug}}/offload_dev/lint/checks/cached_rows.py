"""Querysets whose rows an earlier loop of the same function has read."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import Evaluated, Function
from offload_dev.lint.source.tree import own_nodes


def first_evaluations(function: Function) -> Iterator[Evaluated]:
    """What a function evaluates, without the variables that a loop above has gone through.

    A queryset keeps its rows, so the second loop over the same variable runs no query.
    """
    if not function.evaluated:
        return
    nodes = list(own_nodes(function.scope.node))
    for each in function.evaluated:
        name = each.node
        if not isinstance(name, ast.Name) or not any(
            isinstance(loop, ast.For)
            and isinstance(loop.iter, ast.Name)
            and loop.iter.id == name.id
            and loop.lineno < name.lineno
            and not _is_bound_between(name.id, loop.lineno, name.lineno, nodes)
            and not _are_exclusive(loop, name, nodes)
            for loop in nodes
        ):
            yield each


def _is_bound_between(name: str, first: int, last: int, nodes: list[ast.AST]) -> bool:
    """Whether a line between two others gives a variable a new value."""
    return any(
        isinstance(each, ast.Name)
        and each.id == name
        and isinstance(each.ctx, ast.Store)
        and first < each.lineno <= last
        for each in nodes
    )


def _are_exclusive(first: ast.stmt, second: ast.expr, nodes: list[ast.AST]) -> bool:
    """Whether two lines stand in the two branches of one condition."""
    return any(
        _stands_in(first, each.body) and _stands_in(second, each.orelse)
        for each in nodes
        if isinstance(each, ast.If)
    )


def _stands_in(node: ast.stmt | ast.expr, body: list[ast.stmt]) -> bool:
    return any(each.lineno <= node.lineno <= (each.end_lineno or 0) for each in body)
