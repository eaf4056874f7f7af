"""Coroutines that are used as if they were the result that they have not computed yet."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import CallSite, Function, is_async_query, is_generator
from offload_dev.lint.source.arguments import argument
from offload_dev.lint.source.names import COROUTINES, TO_THREAD
from offload_dev.lint.source.nodes import Def, children, own_nodes

RESPONSES = ("django.http.", "django.shortcuts.", "rest_framework.response.")
WRAPPERS = {"asgiref.sync.sync_to_async", "channels.db.database_sync_to_async"}
# They read their argument at once.
READERS = {"bool", "dict", "float", "int", "len", "list", "max", "min", "set", "sorted", "str"}
READERS |= {"any", "all", "sum", "tuple", "enumerate"}
# What a coroutine or a future has by itself.
OWN_ATTRIBUTES = {"close", "send", "throw", "add_done_callback", "cancel", "result"}

Parents = dict[ast.AST, ast.AST]


def returns_coroutine(call: CallSite, function: Function) -> bool:
    """Whether a call of a function makes a coroutine. Four cases:

    1. An async query, and what libraries write as coroutines.
    2. `sync_to_async(load)(pk)`.
    3. A plain function of the project that a decorator hands to a thread.
    4. An async function of the project. What another decorator returns is not known.
    """
    resolver = function.resolver
    scope = resolver.function(call.origin)
    if is_async_query(call, resolver) or _is_wrapped(call, function):
        return True
    if scope is None:
        return any(map(COROUTINES.matches, (call.origin, *resolver.inherited(call.origin))))
    decorators = resolver.decorators.of(scope)
    if decorators:
        return all(TO_THREAD.matches(origin) for origin, _ in decorators)
    return scope.on_loop and not any(isinstance(each, ast.Yield) for each in own_nodes(scope.node))


def _is_wrapped(call: CallSite, function: Function) -> bool:
    """Whether what is called has just been wrapped: `sync_to_async(load)`."""
    wrapper = call.node.func if isinstance(call.node.func, ast.Call) else None
    made = function.calls_by_node.get(wrapper) if wrapper is not None else None
    return made is not None and made.origin in WRAPPERS


def used_as_results(function: Function) -> Iterator[CallSite]:
    """The calls whose coroutine is read, but never awaited. Three cases:

    1. In the same expression: `if is_member(user):`.
    2. Django gets it: a response, a query or a row.
    3. Through a variable that is only read, here or in a plain function that gets it.
    """
    made = [
        call
        for call in function.calls
        if not call.awaited and not call.dropped and returns_coroutine(call, function)
    ]
    if not made:
        return
    parents = _parents(function.scope.node)
    for call in made:
        node = _through_choices(call.node, parents)
        name = _variable(node, parents)
        if (
            _is_read(node, parents)
            or _is_given_to_django(node, function, parents)
            or (name and _is_only_read(name, function, parents))
        ):
            yield call


def generators_read(function: Function) -> Iterator[CallSite]:
    """The calls of async generators that a plain loop, `list()` or an `await` reads."""
    made = [call for call in function.calls if _makes_generator(call, function)]
    parents = _parents(function.scope.node) if made else {}
    for call in made:
        around = parents.get(call.node)
        is_awaited = isinstance(around, ast.Await)
        is_looped = isinstance(around, ast.For | ast.comprehension) and _is_read(call.node, parents)
        is_listed = isinstance(around, ast.Call) and _is_read(call.node, parents)
        if is_awaited or is_looped or is_listed:
            yield call


def _makes_generator(call: CallSite, function: Function) -> bool:
    scope = function.resolver.function(call.origin)
    if scope is None or not scope.on_loop or function.resolver.decorators.of(scope):
        return False
    return is_generator(scope)


def _parents(node: ast.AST) -> Parents:
    inside = [node, *own_nodes(node)]
    return {child: parent for parent in inside for child in children(parent)}


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
        _is_read(use, parents)
        or _is_read_by_called(use, function, parents)
        or _is_given_to_django(use, function, parents)
        for use in uses
    )


def _is_given_to_django(use: ast.AST, function: Function, parents: Parents) -> bool:
    """Whether a value, also one inside of a dictionary, goes where Django cannot await it.

    A response gets it, a query, a new row, or a column of a row.
    """
    around = parents.get(use)
    while isinstance(around, ast.Dict | ast.List | ast.Tuple | ast.keyword):
        use, around = around, parents.get(around)
    models, queries = function.resolver.models, function.resolver.queries
    match around:
        case ast.Call(func=called) if use is not called:
            call = function.calls_by_node.get(around)
            if call is None:
                return False
            is_row = call.method[:1].isupper() and models.is_model(call.origin)
            return call.origin.startswith(RESPONSES) or is_row or queries.is_query(call.holder)
        case ast.Assign(targets=[ast.Attribute(value=ast.Name() as row, attr=attr)], value=value):
            is_column = not attr.startswith("_") and row.id not in ("self", "cls")
            return value is use and is_column and models.is_model(function.origin_of(row))
    return False


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
