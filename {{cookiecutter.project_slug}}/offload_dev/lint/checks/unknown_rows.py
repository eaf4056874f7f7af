"""Queries of related rows of a row whose model the source does not tell: `order.lines.first()`."""

import ast

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.names import ORM

# A list, a set or a dictionary has methods of these names, too.
OF_COLLECTIONS = {"add", "remove", "clear", "update", "set", "delete", "create", "contains"}
# A list and a string have these with one argument, a dictionary has `get` with one or two.
WITH_ARGUMENTS = {"count", "get"}


def manager_of_unknown_row(call: CallSite, function: Function) -> str:
    """The manager that a call begins with, if only its name says that it queries; else empty."""
    node = call.node.func
    if not isinstance(node, ast.Attribute) or node.attr not in ORM["evaluating"]:
        return ""
    held, is_filtered = node.value, False
    while isinstance(held, ast.Call) and isinstance(held.func, ast.Attribute):
        if held.func.attr not in ORM["lazy"]:
            return ""
        held, is_filtered = held.func.value, True
    if not isinstance(held, ast.Attribute) or _is_known(held.value, function):
        return ""
    if not is_filtered and (
        node.attr in OF_COLLECTIONS or (node.attr in WITH_ARGUMENTS and call.node.args)
    ):
        return ""
    return held.attr if held.attr in function.resolver.models.names_of_managers else ""


def _is_known(row: ast.expr, function: Function) -> bool:
    """Whether the origin of what has the manager is known, or is no variable of this function."""
    return not isinstance(row, ast.Name | ast.Attribute) or bool(function.origin_of(row))
