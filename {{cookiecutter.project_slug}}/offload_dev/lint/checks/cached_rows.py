"""Querysets and relations that an earlier line of the same function has read."""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from offload_dev.lint.functions.function import Evaluated, Function, HiddenQuery
from offload_dev.lint.source.nodes import own_nodes

Node = TypeVar("Node", bound=ast.expr)


def first_evaluations(function: Function) -> Iterator[Evaluated]:
    """What a function evaluates, without the variables that a line above has evaluated.

    A queryset keeps its rows, so a loop over it runs no query after `if not rows`.
    """
    if not function.evaluated:
        return
    nodes = list(own_nodes(function.scope.node))
    loops = (each.iter for each in nodes if isinstance(each, ast.For))
    read = [*loops, *(each.node for each in function.evaluated)]
    names = _by_source(each for each in read if isinstance(each, ast.Name))
    for each in function.evaluated:
        if not isinstance(each.node, ast.Name) or not _is_read_above(each.node, names, nodes):
            yield each


def first_reads(function: Function) -> Iterator[HiddenQuery]:
    """The relations that a function reads, without those that a line above has read.

    A row keeps the related one, also one that its own method has read.
    """
    hidden = function.hidden_queries
    nodes = list(own_nodes(function.scope.node)) if hidden else []
    read = {each.node for each in hidden if not (each.subject or each.many)}
    read_before = _by_source(read)
    attributes = [each for each in nodes if isinstance(each, ast.Attribute)]
    by_row = _grouped((ast.unparse(each.value), each) for each in attributes)
    for each in hidden:
        is_read = each.node in read and _is_read_above(each.node, read_before, nodes)
        if not is_read and not _is_read_by_method(each.node, function, by_row, nodes):
            yield each


def first_reads_of_self(function: Function) -> Iterator[ast.Attribute]:
    """The relations of its own row that a method reads, and no line above has read or set."""
    relations = function.relations_of_self
    nodes = list(own_nodes(function.scope.node)) if relations else []
    attributes = (each for each in nodes if isinstance(each, ast.Attribute))
    stored = (each for each in attributes if isinstance(each.ctx, ast.Store))
    known = _by_source([*relations, *stored])
    for each in relations:
        if not _is_read_above(each, known, nodes):
            yield each


def _is_read_by_method(
    node: ast.expr,
    function: Function,
    by_row: dict[str, list[ast.Attribute]],
    nodes: list[ast.AST],
) -> bool:
    """Whether a line above runs a method of the row that reads the relation: `order.pay()`.

    Args:
        by_row: the attributes that the function reads, by the source of the row.
    """
    if not isinstance(node, ast.Attribute):
        return False
    row = ast.unparse(node.value)
    above = [
        each
        for each in by_row.get(row, ())
        if each.lineno < node.lineno
        and not _is_bound_between(row.partition(".")[0], each.lineno, node.lineno, nodes)
        and _is_on_the_way(each, node, nodes)
    ]
    methods = (function.resolver.function(function.origin_of(each)) for each in above)
    reads = re.compile(rf"\bself\.{node.attr}\b")
    return any(each is not None and reads.search(each.text_of_lines) for each in methods)


def _is_read_above(
    node: ast.Name | ast.Attribute, read: dict[str, list[ast.expr]], nodes: list[ast.AST]
) -> bool:
    """Whether a line above reads the same variable, or attribute of it, on the same way."""
    text = ast.unparse(node)
    name = text.partition(".")[0]
    return any(
        each.lineno < node.lineno
        and not _is_bound_between(name, each.lineno, node.lineno, nodes)
        and _is_on_the_way(each, node, nodes)
        for each in read.get(text, ())
    )


def _by_source(nodes: Iterable[ast.expr]) -> dict[str, list[ast.expr]]:
    """Expressions by how they are written."""
    return _grouped((ast.unparse(each), each) for each in nodes)


def _grouped(pairs: Iterable[tuple[str, Node]]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for text, node in pairs:
        found.setdefault(text, []).append(node)
    return found


def _is_bound_between(name: str, first: int, last: int, nodes: list[ast.AST]) -> bool:
    """Whether a line between two others gives a variable a new value."""
    return any(
        isinstance(each, ast.Name)
        and each.id == name
        and isinstance(each.ctx, ast.Store)
        and first < each.lineno <= last
        for each in nodes
    )


def _is_on_the_way(first: ast.expr, second: ast.expr, nodes: list[ast.AST]) -> bool:
    """Whether each block that the first line stands in has the second one, too.

    A block of `try` and `with` is not left before its end, as a rule.
    """
    return all(
        _stands_in(second, block) or not _stands_in(first, block)
        for each in nodes
        for block in _blocks(each)
    )


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks below a statement that run only under a condition."""
    match node:
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While():
            yield node.body
            yield node.orelse
        case ast.ExceptHandler(body=body) | ast.match_case(body=body):
            yield body


def _stands_in(node: ast.expr, body: list[ast.stmt]) -> bool:
    return any(each.lineno <= node.lineno <= (each.end_lineno or 0) for each in body)
