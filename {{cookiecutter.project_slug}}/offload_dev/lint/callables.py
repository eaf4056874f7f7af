"""Which functions of the project a variable, an attribute or an item of a container may be.

Callbacks travel as values: as arguments, attributes of `self`, and items of lists and tables.
"""

import ast
from collections.abc import Iterable, Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.given import Given
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import Assigned, CodeScope, Def, own_statements

ADDS = {"append", "appendleft", "add", "insert"}
READS_ITEM = {"get", "pop", "popleft", "setdefault"}
READS_ITEMS = {"values", "items", "copy"}
# Values are followed through this many names.
MAX_DEPTH = 6


class Callables:
    """Follows functions as values.

    Args:
        functions: all functions, and the bodies of all modules.
        given: what the calls give to parameters.
    """

    def __init__(self, functions: Iterable[Function], given: Given, resolver: Resolver) -> None:
        self._given, self._resolver = given, resolver
        # By the class or module and the name: what is added to a container.
        self._added: dict[tuple[str, str], list[Assigned]] = {}
        for function in functions:
            for call in function.calls:
                held = call.node.func
                if isinstance(held, ast.Attribute) and held.attr in ADDS and call.node.args:
                    if key := _holder(held.value, function.scope):
                        value = Assigned(call.node.args[-1], function.scope)
                        self._added.setdefault(key, []).append(value)

    def of(self, node: ast.expr, scope: CodeScope, depth: int = 0) -> set[CodeScope]:
        """The functions that an expression may be; empty if none is known."""
        if depth > MAX_DEPTH:
            return set()
        found: set[CodeScope] = set()
        local = self._resolver.locals(scope)
        named = self._resolver.function(self._resolver.origin(node, scope, local))
        if named is not None and not isinstance(node, ast.Call):
            return {named}
        match node:
            case ast.Name(id=name):
                values = list(self._values(name, scope))
            case ast.Attribute(value=held, attr=name):
                owner = self._resolver.origin(held, scope, local)
                values = [*self._resolver.classes.assigned(owner, name), *self._fields(owner, name)]
            case ast.IfExp(body=first, orelse=second):
                values = [Assigned(first, scope), Assigned(second, scope)]
            case ast.BoolOp(values=each):
                values = [Assigned(value, scope) for value in each]
            case ast.Subscript(value=held):
                return self._items(held, scope, depth + 1)
            case ast.Call(func=ast.Attribute(value=held, attr=name)) if name in READS_ITEM:
                return self._items(held, scope, depth + 1)
            case _:
                values = []
        for value, where in values:
            found |= self.of(value, where, depth + 1)
        return found

    def _values(self, name: str, scope: CodeScope) -> Iterator[Assigned]:
        """What a variable holds: of this function, or of one around it."""
        here: CodeScope | None = scope
        while here is not None and isinstance(here.node, Def):
            if name in self._resolver.parameters(here):
                yield from self._given.values(here, name)
                return
            bound = list(_bound(name, here))
            if bound:
                yield from (Assigned(value, here) for value in bound)
                return
            here = here.parent

    def _fields(self, owner: str, name: str) -> list[Assigned]:
        scope = self._resolver.classes.scope(owner)
        return self._given.values(scope, name) if scope and name in scope.annotations else []

    def _items(self, node: ast.expr, scope: CodeScope, depth: int) -> set[CodeScope]:
        """The functions in a container."""
        values: list[Assigned] = []
        local = self._resolver.locals(scope)
        match node:
            case ast.Dict(values=each) | ast.List(elts=each) | ast.Tuple(elts=each):
                values = [Assigned(value, scope) for value in each]
            case ast.Call(func=ast.Attribute(value=held, attr=name)) if (
                name in READS_ITEM | READS_ITEMS
            ):
                return self._items(held, scope, depth + 1) if depth <= MAX_DEPTH else set()
            case ast.Call(args=[held]) if depth <= MAX_DEPTH:
                return self._items(held, scope, depth + 1)
            case ast.Attribute(value=held, attr=name):
                owner = self._resolver.origin(held, scope, local)
                values = list(self._resolver.classes.elements(owner, name))
                for each in self._resolver.classes.lineage(owner):
                    values += self._added.get((each, name), [])
                for assigned in self._resolver.classes.assigned(owner, name):
                    if isinstance(assigned.value, ast.Dict | ast.List | ast.Tuple):
                        values += [
                            Assigned(value, assigned.scope) for value in _items_of(assigned.value)
                        ]
            case ast.Name(id=name):
                module = scope.module
                values = [*module.elements.get(name, []), *self._added.get((module.dotted, name), [])]
                found = {f for f in self._resolver.functions_of_table(
                    self._resolver.origin(node, scope, local)) if f is not None}
                for value, where in self._values(name, scope):
                    found |= self._items(value, where, depth + 1) if depth <= MAX_DEPTH else set()
                return found.union(*(self.of(v, w, depth + 1) for v, w in values))
        return set().union(*(self.of(value, where, depth + 1) for value, where in values))


def _items_of(node: ast.Dict | ast.List | ast.Tuple) -> list[ast.expr]:
    return node.values if isinstance(node, ast.Dict) else node.elts


def _holder(node: ast.expr, scope: CodeScope) -> tuple[str, str] | None:
    """The class or module, and the name, of a container that something is added to."""
    match node:
        case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if scope.owner:
            return scope.owner.dotted, name
        case ast.Name(id=name):
            return scope.module.dotted, name
        case ast.Subscript(value=held) | ast.Call(func=ast.Attribute(value=held)):
            return _holder(held, scope)
    return None


def _bound(name: str, scope: CodeScope) -> Iterator[ast.expr]:
    """The values that the lines of a function give to a variable; of a loop, an item."""
    for node in own_statements(scope.node):
        match node:
            case ast.Assign(targets=targets, value=value):
                if any(getattr(target, "id", "") == name for target in targets):
                    yield value
            case ast.AnnAssign(target=ast.Name(id=bound), value=ast.expr() as value):
                if bound == name:
                    yield value
            case ast.For(target=target, iter=items):
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                if any(getattr(each, "id", "") == name for each in names):
                    yield ast.copy_location(ast.Subscript(items, ast.Constant(0), ast.Load()), node)
