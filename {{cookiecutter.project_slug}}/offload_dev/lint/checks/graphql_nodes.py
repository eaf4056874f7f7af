"""Fields of Strawberry's types whose instances are rows, since a resolver returns rows for them."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.decorators import RESOLVERS
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope


def relations_of_node(function: Function) -> Iterator[ast.Attribute]:
    """The first relation of its row that a field reads: `self.account.login`."""
    resolver, owner = function.resolver, function.scope.owner
    if owner is None or not any(RESOLVERS.matches(origin) for origin, _ in function.decorators):
        return
    reads = [
        node
        for node in own_nodes(function.scope.node)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"
    ]
    model = _model_of(owner, resolver) if reads else ""
    for node in reads:
        if resolver.models.is_relation(model, node.attr) and not resolver.facts.fetches(node.attr):
            yield node
            return


def _model_of(node: CodeScope, resolver: Resolver) -> str:
    """The model of the rows that an async resolver returns as this type; empty if none does."""
    name = node.bare_name
    for scope in resolver.project.functions:
        returns = scope.node.returns if isinstance(scope.node, Def) and scope.on_loop else None
        if returns is None or name not in scope.text_of_lines:
            continue
        named = (n for n in all_nodes(returns) if isinstance(n, ast.Name | ast.Attribute))
        is_of_node = any(resolver.origin(each, scope.module) == node.dotted for each in named)
        if is_of_node and any(RESOLVERS.matches(o) for o, _ in resolver.decorators.of(scope)):
            values = resolver.local_types.returned(scope, yields=False)
            if found := next(filter(None, (_row(each, scope, resolver) for each in values)), ""):
                return found
    return ""


def _row(value: ast.expr, scope: CodeScope, resolver: Resolver) -> str:
    """The model of a returned row, or of the rows in a returned list or query."""
    local = resolver.locals(scope)
    match value:
        case ast.ListComp(elt=ast.Name(id=name), generators=[made]) if (
            getattr(made.target, "id", "") == name
        ):
            value = made.iter
    origin = resolver.origin(value, scope, local)
    return origin if resolver.models.is_model(origin) else resolver.queries.row(origin)
