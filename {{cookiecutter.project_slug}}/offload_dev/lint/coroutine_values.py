"""Coroutines that are used as if they were the result that they have not computed yet."""

import ast
from collections.abc import Iterator

from offload_dev.lint.arguments import argument
from offload_dev.lint.function import CallSite, Function, is_async_query
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import Def, own_nodes

COROUTINES = Patterns("asyncio.{sleep,wait,wait_for,to_thread,open_connection}")
# They read their argument at once.
READERS = {"bool", "dict", "float", "int", "len", "list", "max", "min", "set", "sorted", "str"}
READERS |= {"any", "all", "sum", "tuple", "enumerate"}
# What a coroutine or a future has by itself.
OWN_ATTRIBUTES = {"close", "send", "throw", "add_done_callback", "cancel", "result"}

Parents = dict[ast.AST, ast.AST]


def returns_coroutine(call: CallSite, resolver: Resolver) -> bool:
    """Whether a call makes a coroutine. What a decorated function returns is not known."""
    if is_async_query(call, resolver) or COROUTINES.matches(call.origin):
        return True
    scope = resolver.function(call.origin)
    if scope is None or not scope.on_loop or resolver.decorators(scope):
        return False
    return not any(isinstance(node, ast.Yield) for node in own_nodes(scope.node))


def used_as_results(function: Function) -> Iterator[CallSite]:
    """The calls whose coroutine is read, but never awaited. Two cases:

    1. In the same expression: `if is_member(user):`.
    2. Through a variable that is only read, here or in a plain function that gets it.
    """
    made = [
        call
        for call in function.calls
        if not call.awaited and not call.dropped and returns_coroutine(call, function.resolver)
    ]
    if not made:
        return
    parents = _parents(function.scope.node)
    for call in made:
        node = _through_choices(call.node, parents)
        name = _variable(node, parents)
        if _is_read(node, parents) or (name and _is_only_read(name, function, parents)):
            yield call


def _parents(node: ast.AST) -> Parents:
    inside = [node, *own_nodes(node)]
    return {child: parent for parent in inside for child in ast.iter_child_nodes(parent)}


def _through_choices(node: ast.AST, parents: Parents) -> ast.AST:
    """The conditional expression around a value: `f() if user else False`."""
    around = parents.get(node)
    if isinstance(around, ast.IfExp) and around.test is not node:
        return _through_choices(around, parents)
    return node


def _is_read(node: ast.AST, parents: Parents) -> bool:
    """Whether the line around a value needs a result, and not a coroutine."""
    match parents.get(node):
        case (
            ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test)
        ):
            return test is node
        case ast.UnaryOp() | ast.BinOp() | ast.FormattedValue():
            return True
        case ast.Compare(ops=operators):
            return not any(isinstance(each, ast.Is | ast.IsNot) for each in operators)
        case ast.BoolOp(values=values) as around:
            return node is not values[-1] or _is_read(around, parents)
        case ast.Subscript(value=value):
            return value is node
        case ast.Attribute(attr=attr):
            return attr not in OWN_ATTRIBUTES and not attr.startswith(("cr_", "__"))
        case ast.For(iter=source) | ast.comprehension(iter=source, is_async=0):
            return source is node
        case ast.Call(func=ast.Name(id=name), args=args):
            return name in READERS and node in args[:1]
    return False


def _variable(node: ast.AST, parents: Parents) -> str:
    match parents.get(node):
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
    return ""


def _is_only_read(name: str, function: Function, parents: Parents) -> bool:
    """Whether a variable is read like a result, and nothing awaits it or keeps it."""
    names = [node for node in own_nodes(function.scope.node) if getattr(node, "id", "") == name]
    if sum(isinstance(node.ctx, ast.Store) for node in names if isinstance(node, ast.Name)) > 1:
        return False
    uses = [node for node in names if isinstance(getattr(node, "ctx", None), ast.Load)]
    return bool(uses) and all(
        _is_read(use, parents) or _is_read_by_called(use, function, parents) for use in uses
    )


def _is_read_by_called(use: ast.AST, function: Function, parents: Parents) -> bool:
    """Whether a plain function of the project gets a value, and only reads it."""
    around = parents.get(use)
    call = function.calls_by_node.get(around) if isinstance(around, ast.Call) else None
    called = function.resolver.function(call.origin) if call else None
    if call is None or called is None or called.on_loop or not isinstance(called.node, Def):
        return False
    given = (each.arg for each in called.node.args.args)
    name = next((each for each in given if argument(each, called.node, call.node).value is use), "")
    inside = _parents(called.node)
    uses = [node for node in own_nodes(called.node) if getattr(node, "id", "") == name]
    return bool(uses) and all(_is_read(each, inside) for each in uses)
