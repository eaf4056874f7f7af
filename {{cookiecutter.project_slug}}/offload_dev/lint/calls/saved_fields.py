"""The lines of an overridden `save` that do not run where only other fields are saved."""

import ast
import re

from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.nodes import all_nodes, own_nodes

# What compares a row with the one before: `self.tracker.has_changed("email")`, `not self.pk`.
CHANGE = re.compile(
    r"(?i:changed|tracker|previous|original|created)|update_fields|_state\.adding|not self\.pk"
    r"|self\.pk is None|(?:\b|_)(?:old|new)(?:\b|_)"
)
WORD = re.compile(r"\w+")


def is_for_other_fields(line: int, save: Function, call: ast.Call) -> bool:
    """Whether a line runs only after a change of fields that this call does not save.

    `order.save(update_fields=["paid"])` makes no row, and changes no other field.
    """
    fields = _saved(call)
    if not fields or not save.scope.label.endswith(".save"):
        return False
    values = _values(save)
    return any(
        _asks_for_others(node.test, fields, values)
        for node in own_nodes(save.scope.node)
        if isinstance(node, ast.If)
        and node.body[0].lineno <= line <= (node.body[-1].end_lineno or 0)
    )


def _saved(call: ast.Call) -> set[str]:
    """The fields that a call names: `update_fields=["paid"]`."""
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(
                arg="update_fields",
                value=ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements),
            ):
                names = [each.value for each in elements if isinstance(each, ast.Constant)]
                return set(map(str, names)) if len(names) == len(elements) else set()
    return set()


def _values(save: Function) -> dict[str, list[ast.expr]]:
    """What the lines of a function give to its variables."""
    found: dict[str, list[ast.expr]] = {}
    for node in own_nodes(save.scope.node):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
    return found


def _asks_for_others(test: ast.expr, fields: set[str], values: dict[str, list[ast.expr]]) -> bool:
    """Whether a condition is true only after a change, and names none of these fields."""
    match test:
        case ast.BoolOp(op=ast.Or(), values=parts):
            return all(_asks_for_others(part, fields, values) for part in parts)
        case ast.BoolOp(op=ast.And(), values=parts):
            return any(_asks_for_others(part, fields, values) for part in parts)
    text = _with_variables(test, values)
    return CHANGE.search(text) is not None and fields.isdisjoint(WORD.findall(text))


def _with_variables(test: ast.expr, values: dict[str, list[ast.expr]]) -> str:
    """The source of a condition, and of what its variables were given."""
    parts, names = [test], set()
    for part in parts:
        for node in all_nodes(part):
            if isinstance(node, ast.Name) and node.id not in names:
                names.add(node.id)
                parts += values.get(node.id, [])
    return " ".join(map(ast.unparse, parts))
