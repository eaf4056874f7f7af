"""Values that are as long as the data: a query, what a request brings, a file."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.nodes import own_nodes

# They give back as much as they get.
SAME_LENGTH = {"dict", "enumerate", "list", "loads", "range", "reversed", "set", "sorted", "tuple"}
SAME_LENGTH |= {"filter", "len", "map", "zip"}


def is_unbounded(value: ast.expr, function: Function, seen: frozenset[str] = frozenset()) -> bool:
    """Whether nothing in the source says how long a value may become.

    A parameter counts only in a view, where it comes from the request.
    """
    resolver, scope = function.resolver, function.scope
    if isinstance(value, ast.Name) and (assigned := list(_assigned(value.id, scope.node))):
        is_new, seen = value.id not in seen, seen | {value.id}
        return is_new and any(is_unbounded(each, function, seen) for each in assigned)
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice):
        return value.slice.upper is None and is_unbounded(value.value, function, seen)
    origin = resolver.origin(value, scope, resolver.locals(scope))
    if origin in (REQUEST, "builtins.open") or resolver.queries.is_query(origin):
        return True
    if isinstance(value, ast.Name):
        parameters = set(resolver.parameters(scope)) - {"self", "cls"}
        return function.takes_request and value.id in parameters
    return any(is_unbounded(each, function, seen) for each in _made_of(value))


def _made_of(value: ast.expr) -> Iterator[ast.expr]:
    """What a value takes its length from. A method's result is as long as what it is called on."""
    match value:
        case ast.Attribute(value=held) | ast.Subscript(value=held) | ast.Await(value=held):
            yield held
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args) if (
            name in SAME_LENGTH
        ):
            yield from args
        case ast.Call(func=ast.Attribute(value=held)):
            yield held
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from (each.iter for each in value.generators)
        case ast.BoolOp(values=values):
            yield from values


def _assigned(name: str, node: ast.AST) -> Iterator[ast.expr]:
    for each in own_nodes(node):
        match each:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.With(items=items) | ast.AsyncWith(items=items):
                for item in items:
                    if getattr(item.optional_vars, "id", None) == name:
                        yield item.context_expr
