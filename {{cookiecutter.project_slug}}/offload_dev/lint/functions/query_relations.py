"""The relations that a query fetches with its rows, as far as the source names them."""

import ast
from collections.abc import Iterable

from offload_dev.lint.functions.thread_calls import made_by
from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, own_nodes
from offload_dev.lint.source.tree import Assigned, CodeScope

WITH_RELATIONS = ("select_related", "prefetch_related")
# Queries are followed through this many functions, variables and attributes.
MAX_DEPTH = 6

Relations = frozenset[str]
NONE: Relations = frozenset()


class QueryRelations:
    """Reads which relations `select_related` and `prefetch_related` name, wherever they stand."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def of(
        self, query: ast.expr, scope: CodeScope, local: Types, seen: frozenset[str] = frozenset()
    ) -> Relations | None:
        """The relations that the methods of a query name; None if one of them is not known.

        Args:
            seen: the variables that are being followed: `orders = orders.filter(…)`.
        """
        made = made_by(query, scope, local, self._resolver)
        match made:
            case ast.Call(func=ast.Attribute(value=held, attr=name), args=args) if (
                name in WITH_RELATIONS
            ):
                return _both(_texts(args), self.of(held, scope, local, seen))
            case ast.Call(func=called):
                function = self._resolver.function(self._resolver.origin(called, scope, local))
                if function is not None:
                    return self._returned(function, seen)
                return self.of(called, scope, local, seen)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner:
                return self._of_attribute(scope.owner.dotted, name, seen)
            case ast.Attribute(value=held) | ast.Subscript(value=held):
                return self.of(held, scope, local, seen)
            case ast.BinOp(left=left, right=right):
                return _both(self.of(left, scope, local, seen), self.of(right, scope, local, seen))
            case ast.Name(id=name):
                return self._of_variable(made, name, scope, local, seen)
        return None

    def _of_variable(
        self, node: ast.Name, name: str, scope: CodeScope, local: Types, seen: frozenset[str]
    ) -> Relations | None:
        """What a variable brings: a model, a row or `self` nothing, a query what it was made of."""
        origin = self._resolver.origin(node, scope, local)
        if not self._resolver.queries.is_query(origin) or name in ("self", "cls"):
            return NONE
        key = f"{scope.dotted}.{name}"
        if key in seen:
            return NONE
        if name not in self._resolver.locals(scope):
            return None if "_related" in origin else NONE
        values = _assigned(name, scope)
        return self._all((Assigned(value, scope) for value in values), {*seen, key})

    def _of_attribute(self, owner: str, name: str, seen: frozenset[str]) -> Relations | None:
        """What an attribute of `self` brings: `self.orders`, `self.model`."""
        key = f"{owner}.{name}"
        classes = self._resolver.classes
        found = classes.member(owner, name)
        values = list(classes.assigned(owner, name))
        if found is not None and isinstance(found.value, ast.expr):
            values.append(Assigned(found.value, found.scope))
        if not values or key in seen:
            return NONE
        return self._all(values, {*seen, key})

    def _returned(self, function: CodeScope, seen: frozenset[str]) -> Relations | None:
        """What the query brings that a function returns."""
        key = f"{function.dotted}()"
        if key in seen:
            return NONE
        values = self._resolver.local_types.returned(function, yields=False)
        return self._all((Assigned(value, function) for value in values), {*seen, key})

    def _all(self, values: Iterable[Assigned], seen: set[str]) -> Relations | None:
        """What one of several values brings; None if one is not known, or if there is none."""
        found: Relations | None = None
        for value, scope in values if len(seen) <= MAX_DEPTH else ():
            here = self.of(value, scope, self._resolver.locals(scope), frozenset(seen))
            if here is None:
                return None
            found = here | (found or NONE)
        return found


def _both(first: Relations | None, second: Relations | None) -> Relations | None:
    return None if first is None or second is None else first | second


def _assigned(name: str, scope: CodeScope) -> list[ast.expr]:
    """What the lines of a function assign to a variable; empty if it may also hold something else.

    A parameter does, and the variable of a loop.
    """
    given = scope.node.args if isinstance(scope.node, Def) else None
    if given is None or any(
        each.arg == name for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)
    ):
        return []
    nodes = list(own_nodes(scope.node))
    values = [
        node.value
        for node in nodes
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
    ]
    stores = sum(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in nodes
    )
    return values if stores == len(values) else []


def _texts(arguments: list[ast.expr]) -> Relations | None:
    """The names that a call gives: as texts, or in a `Prefetch`; None if one is not known."""
    found = set()
    for each in arguments:
        first = each.args[0] if isinstance(each, ast.Call) and each.args else each
        if not isinstance(first, ast.Constant) or not isinstance(first.value, str):
            return None
        found.add(first.value)
    return frozenset(found) or None
