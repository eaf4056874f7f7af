"""Which functions of the project a variable, an attribute or an item of a container may be.

Callbacks travel as values: as arguments, attributes of `self`, and items of lists and tables.
"""

import ast
from collections.abc import Iterable, Iterator

from offload_dev.lint.calls.given import Given
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, own_statements
from offload_dev.lint.source.tree import Assigned, CodeScope

ADDS = {"append", "appendleft", "add", "insert"}
READS_ITEM = {"get", "pop", "popleft", "setdefault"}
READS = {*READS_ITEM, "values", "items", "copy"}
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
                if not (isinstance(held, ast.Attribute) and held.attr in ADDS and call.node.args):
                    continue
                if key := _holder(held.value, function.scope):
                    value = Assigned(call.node.args[-1], function.scope)
                    self._added.setdefault(key, []).append(value)

    def of(self, node: ast.expr, scope: CodeScope, depth: int = 0) -> set[CodeScope]:
        """The functions that an expression may be; empty if none is known."""
        if depth > MAX_DEPTH:
            return set()
        local = self._resolver.locals(scope)
        named = self._resolver.function(self._resolver.origin(node, scope, local))
        if named is not None and not isinstance(node, ast.Call):
            return {named}
        match node:
            case ast.Subscript(value=held):
                return self._items(held, scope, depth + 1)
            case ast.Call(func=ast.Attribute(value=held, attr=name)) if name in READS_ITEM:
                return self._items(held, scope, depth + 1)
        found: set[CodeScope] = set()
        for value, where in self._values_of(node, scope):
            found |= self.of(value, where, depth + 1)
        return found

    def _values_of(self, node: ast.expr, scope: CodeScope) -> list[Assigned]:
        """What an expression may hold: a variable, an attribute, one of two values."""
        match node:
            case ast.Name(id=name):
                return list(self._values(name, scope))
            case ast.Attribute(value=held, attr=name):
                owner = self._resolver.origin(held, scope, self._resolver.locals(scope))
                assigned = self._resolver.classes.assigned(owner, name)
                return [*assigned, *self._fields(owner, name)]
            case ast.IfExp(body=first, orelse=second):
                return [Assigned(first, scope), Assigned(second, scope)]
            case ast.BoolOp(values=values):
                return [Assigned(value, scope) for value in values]
        return []

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
        if depth > MAX_DEPTH:
            return set()
        match node:
            case ast.Dict() | ast.List() | ast.Tuple():
                values = [Assigned(value, scope) for value in _items_of(node)]
            case ast.Call(func=ast.Attribute(value=held, attr=name)) if name in READS:
                return self._items(held, scope, depth + 1)
            case ast.Call(args=[held]):
                return self._items(held, scope, depth + 1)
            case ast.Attribute(value=held, attr=name):
                values = self._items_of_attribute(held, name, scope)
            case ast.Name(id=name):
                return self._items_of_variable(node, name, scope, depth)
            case _:
                return set()
        return set().union(*(self.of(value, where, depth + 1) for value, where in values))

    def _items_of_attribute(self, held: ast.expr, name: str, scope: CodeScope) -> list[Assigned]:
        classes = self._resolver.classes
        owner = self._resolver.origin(held, scope, self._resolver.locals(scope))
        values = list(classes.elements(owner, name))
        for each in classes.lineage(owner):
            values += self._added.get((each, name), [])
        for value, where in classes.assigned(owner, name):
            values += [Assigned(item, where) for item in _items_of(value)]
        return values

    def _items_of_variable(
        self, node: ast.Name, name: str, scope: CodeScope, depth: int
    ) -> set[CodeScope]:
        module = scope.module
        origin = self._resolver.origin(node, scope, self._resolver.locals(scope))
        found = {each for each in self._resolver.functions_of_table(origin) if each is not None}
        for value, where in self._values(name, scope):
            found |= self._items(value, where, depth + 1)
        added = self._added.get((module.dotted, name), [])
        for value, where in (*module.elements.get(name, ()), *added):
            found |= self.of(value, where, depth + 1)
        return found


def _items_of(node: ast.expr) -> list[ast.expr]:
    """The items that are written in a dictionary, list or tuple."""
    if isinstance(node, ast.Dict):
        return node.values
    return node.elts if isinstance(node, ast.List | ast.Tuple) else []


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
