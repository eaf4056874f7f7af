"""Numbers that source text gives: literals, constants, and arithmetic with them."""

import ast
from collections.abc import Callable

OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.FloorDiv: lambda left, right: left // right if right else 0,
}
# A larger power is not computed.
MAX_EXPONENT = 64


def number(node: ast.expr | None, value_of: Callable[[ast.expr], ast.expr | None]) -> int:
    """The number of an expression; 1 if it is not known.

    Args:
        value_of: the value of a name, if it is a constant.
    """
    found = _number(node, value_of, 0)
    return 1 if found is None else found


def _number(
    node: ast.expr | None, value_of: Callable[[ast.expr], ast.expr | None], depth: int
) -> int | None:
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.Name() | ast.Attribute() if depth < 4:
            return _number(value_of(node), value_of, depth + 1)
        case ast.BinOp(left=left, op=op, right=right):
            first, second = (_number(part, value_of, depth) for part in (left, right))
            if first is None or second is None:
                return None
            if isinstance(op, ast.Pow):
                return first**second if 0 <= second <= MAX_EXPONENT else None
            return OPERATIONS[type(op)](first, second) if type(op) in OPERATIONS else None
    return None
