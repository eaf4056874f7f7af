"""How many seconds an expression says: numbers, `timedelta`, and what is added to now."""

import ast
from typing import Protocol

from offload_dev.lint.source.nodes import assigned
from offload_dev.lint.source.tree import CodeScope

TIMEDELTA = "datetime.timedelta"
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
MAX_DEPTH = 4


class Names(Protocol):
    """What `seconds` asks the names."""

    def origin(self, node: ast.expr | None, scope: CodeScope) -> str:
        """The origin of an expression."""

    def number(self, node: ast.expr | str | None, scope: CodeScope) -> int:
        """A number that is written here or at the top of a module; 1 if it is not known."""


def seconds(value: ast.expr, scope: CodeScope, names: Names, depth: int = 0) -> int:
    """The seconds of `3600`, `timedelta(hours=1)`, `now() + timedelta(hours=1)`; 0 if unknown."""
    value = assigned(value, scope.node) if depth < MAX_DEPTH else value
    match value:
        case ast.Call(func=ast.Attribute(value=held, attr="total_seconds")):
            return seconds(held, scope, names, depth + 1)
        case ast.Call(keywords=keywords) if names.origin(value.func, scope) == TIMEDELTA:
            known = [(UNITS.get(each.arg or ""), each.value) for each in keywords]
            if value.args or not all(unit for unit, _ in known):
                return 0
            return sum((unit or 0) * _number(each, scope, names) for unit, each in known)
        case ast.BinOp(left=ast.Call(func=now) as left, op=ast.Add(), right=right):
            is_now = ast.unparse(now).endswith("now")
            later = right if is_now else left
            return seconds(later, scope, names, depth + 1)
    return _number(value, scope, names)


def _number(value: ast.expr, scope: CodeScope, names: Names) -> int:
    found = names.number(value, scope)
    is_one = isinstance(value, ast.Constant) and value.value == 1
    return 0 if found == 1 and not is_one else found
