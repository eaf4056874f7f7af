"""What a call gives to a parameter, and the blocks of a function that run only if it is given."""

import ast
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.source.nodes import Def

# Before the name of a parameter that must have no value.
WITHOUT = "not "
# Between a parameter and the values that it must have one of.
EQUALS, OR = "==", " | "


class Argument(NamedTuple):
    """The value of a parameter in one call.

    Args:
        value: the value; None if it is not known.
        by_default: whether it is the parameter's default value.
    """

    value: ast.expr | None
    by_default: bool


def argument(name: str, node: Def, call: ast.Call) -> Argument:
    """What a call of a function gives to a parameter."""
    # 1. By the call: as a keyword, or in its place.
    in_place = itertools.takewhile(lambda each: not isinstance(each, ast.Starred), call.args)
    given = dict(zip(places(node), in_place, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if name in given:
        return Argument(given[name], by_default=False)

    # 2. `*args` and `**kwargs` may give anything else.
    if any(isinstance(each, ast.Starred) for each in call.args):
        return Argument(None, by_default=False)
    if any(keyword.arg is None for keyword in call.keywords):
        return Argument(None, by_default=False)

    # 3. By the default value.
    return Argument(default(name, node), by_default=True)


def places(node: Def) -> list[str]:
    """The parameters that a call gives by their places. `self` and `cls` take no place."""
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def default(name: str, node: ast.AST) -> ast.expr | None:
    """The default value of a function's parameter; None if there is none."""
    if not isinstance(node, Def):
        return None
    names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
    defaults: dict[str, ast.expr | None] = dict(
        zip(reversed(names), reversed(node.args.defaults), strict=False)
    )
    keyword_names = (each.arg for each in node.args.kwonlyargs)
    defaults |= dict(zip(keyword_names, node.args.kw_defaults, strict=True))
    return defaults.get(name)


def parameters(node: ast.AST) -> dict[str, ast.expr | None]:
    """The parameters of a function, and their annotations."""
    if not isinstance(node, Def):
        return {}
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return {each.arg: each.annotation for each in arguments}


def is_falsy(node: ast.expr | None) -> bool:
    """Whether a value is written as `None`, `False`, `0` or an empty text."""
    return isinstance(node, ast.Constant) and not node.value


def is_truthy(node: ast.expr | None) -> bool:
    """Whether a value is written as `True`, a number, a text, or a collection with items."""
    match node:
        case ast.Constant(value=value):
            return bool(value)
        case ast.JoinedStr() | ast.Lambda():
            return True
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Dict(values=items):
            return bool(items)
    return False


def is_set(call: ast.Call, *names: str) -> bool:
    """Whether a call gives one of these arguments a value that is not written as a falsy one."""
    return any(each.arg in names and not is_falsy(each.value) for each in call.keywords)


def is_cleared(call: ast.Call, name: str) -> bool:
    """Whether a call gives an argument a value that is written as a falsy one: `commit=False`."""
    return any(each.arg == name and is_falsy(each.value) for each in call.keywords)


def needed(test: ast.expr) -> Iterator[str]:
    """The names that must have a value if a condition is to be true."""
    match test:
        case ast.Name() | ast.Compare():
            if name := given(test):
                yield name
        case ast.BoolOp(op=ast.And(), values=values):
            for value in values:
                yield from needed(value)


def given(test: ast.expr) -> str:
    """The only name that a condition asks for: `if currency`, `if currency is not None`."""
    match test:
        case ast.Name(id=name):
            return name
        case ast.Compare(left=ast.Name(id=name), ops=[ast.IsNot()], comparators=[right]):
            return name if is_falsy(right) else ""
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return missing(operand)
    return ""


def missing(test: ast.expr) -> str:
    """The only name that must have no value: `if not currency`, `if currency is None`."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return given(operand)
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Is()], comparators=[right]):
            return name if is_falsy(right) else ""
    return ""


def chosen(test: ast.expr) -> Iterator[tuple[str, str]]:
    """The names that must have certain values if a condition is to be true, and what it needs.

    `status == Status.DONE` needs `status==Status.DONE`, and `status in (1, 2)` needs
    `status==1 | 2`.
    """
    match test:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.Eq()], comparators=[value]):
            yield name, f"{name}{EQUALS}{ast.unparse(value)}"
        case ast.Compare(
            left=ast.Name(id=name),
            ops=[ast.In()],
            comparators=[ast.Tuple(elts=values) | ast.List(elts=values) | ast.Set(elts=values)],
        ):
            yield name, f"{name}{EQUALS}{OR.join(map(ast.unparse, values))}"
        case ast.BoolOp(op=ast.And(), values=values):
            for value in values:
                yield from chosen(value)


def is_other(value: ast.expr | None, values: str) -> bool:
    """Whether a value is written as none of these: `Status.SENT` is not `Status.DONE`."""
    if value is None:
        return False
    written, kind = ast.unparse(value), _kind(value)
    return bool(kind) and all(
        each != written and _kind(ast.parse(each, mode="eval").body) == kind
        for each in values.split(OR)
    )


def _kind(value: ast.expr) -> str:
    """What a constant belongs to: its type, or the class of an enumeration; else empty."""
    match value:
        case ast.Constant(value=constant):
            return type(constant).__name__
        case ast.Attribute(value=owner, attr=name) if name[:1].isupper():
            return ast.unparse(owner)
    return ""
