"""What the local variables of one function hold, from line to line."""

import ast

from offload_dev.lint.names import FETCHING, FETCHING_PAIRS, SIGNALS, TO_THREAD
from offload_dev.lint.resolver import REQUEST, Resolver
from offload_dev.lint.source import CodeScope, Def, own_nodes

# What calls return several values, and what these are.
PAIRS = {
    "asyncio.open_connection": ("asyncio.StreamReader", "asyncio.StreamWriter"),
    "asyncio.open_unix_connection": ("asyncio.StreamReader", "asyncio.StreamWriter"),
    "multiprocessing.Pipe": ("multiprocessing.Pipe", "multiprocessing.Pipe"),
}
GET_OR_404 = ("get_object_or_404", "aget_object_or_404")


class Variables:
    """The variables of one function. The visitor changes them in the order of the lines.

    Attributes:
        local: the origins of the variables.
        parameters: the names of the function's parameters.
        values: what the variables were assigned last.
        items: what was assigned to the items of the variables: `context["orders"] = orders`.
        added: what was appended to the variables, as calls.
        rows: variables that hold a row whose relations were not fetched with it.
        fetched: variables that hold a queryset which `async for` has fetched: reading it again is
            free.
        assigned: attributes that the function has assigned to.
    """

    def __init__(self, scope: CodeScope, resolver: Resolver) -> None:
        self.scope, self.resolver = scope, resolver
        self.local = resolver.parameters(scope)
        self.parameters = set(self.local)
        self.values: dict[str, ast.expr] = {}
        self.items: dict[str, list[tuple[str, ast.expr]]] = {}
        self.added: dict[str, list[ast.expr]] = {}
        self.rows: set[str] = set()
        self.fetched: set[str] = set()
        self.assigned: set[str] = set()

    def origin(self, node: ast.expr | None) -> str:
        """The origin of an expression at the current line."""
        return self.resolver.origin(node, self.scope, self.local)

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        """Note that a line assigns a value to a target."""
        if isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self.forget(element)
            self._bind_pair(target.elts, value)
        match target:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
                self.items.setdefault(name, []).append((key, value))
        if not isinstance(target, ast.Name):
            return

        self.items.pop(target.id, None)
        self.added.pop(target.id, None)
        origin = self.origin(value)
        # Each signal has receivers of its own.
        is_signal = SIGNALS.matches(origin)
        self.local[target.id] = f"{self.scope.dotted}.{target.id}" if is_signal else origin
        self.values[target.id] = value
        self.fetched.discard(target.id)
        self.rows.discard(target.id)
        if self._fetches_row(value):
            self.rows.add(target.id)

    def forget(self, target: ast.expr) -> None:
        """Note that the names in a target hold something that is not known."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.local[node.id] = ""
                self.values.pop(node.id, None)
                self.rows.discard(node.id)

    def value_of(self, node: ast.expr) -> ast.expr:
        """The value that a variable was assigned last; else the expression itself."""
        return self.values.get(node.id, node) if isinstance(node, ast.Name) else node

    def element(self, source: ast.expr) -> str:
        """The origin of the items of a list that this function makes of calls; else empty.

        `futures = [pool.submit(load, key) for key in keys]` has futures.
        """
        match self.value_of(source):
            case ast.ListComp(elt=made) | ast.SetComp(elt=made) | ast.GeneratorExp(elt=made):
                items = [made]
            case ast.List(elts=made) | ast.Set(elts=made) | ast.Tuple(elts=made):
                items = made
            case ast.DictComp(key=made):
                items = [made]
            case _:
                return ""
        items = [*items, *self.added.get(getattr(source, "id", ""), ())]
        origins = {self.origin(item) if isinstance(item, ast.Call) else "" for item in items}
        return origins.pop() if len(origins) == 1 else ""

    def is_fresh(self, node: ast.expr) -> bool:
        """Whether this is a row whose relations were not fetched with it."""
        if isinstance(node, ast.Name):
            return node.id in self.rows
        # `self.scope["user"]` of Channels, which its middleware has fetched.
        if isinstance(node, ast.Subscript):
            return self.origin(node) == self.resolver.models.user
        # `order.customer.country`: the first relation did not bring the second one.
        return isinstance(node, ast.Attribute) and bool(
            self.is_fresh(node.value)
            and self.resolver.models.is_relation(self.origin(node.value), node.attr)
        )

    def comes_from_function(self, query: ast.expr) -> bool:
        """Whether another function of this project makes a query, or begins it."""
        return any(
            isinstance(node, ast.Call)
            and self.resolver.function(self.origin(node.func)) is not None
            for node in ast.walk(query)
        ) or (isinstance(query, ast.Name) and query.id not in self.values)

    def is_unchanged_parameter(self, name: str) -> bool:
        """Whether the caller gives this value: a parameter that the function never assigns to."""
        return name in self.parameters and not any(
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
            for node in own_nodes(self.scope.node)
        )

    def _fetches_row(self, value: ast.expr) -> bool:
        """Whether a value is a row that is fetched here, without its relations.

        A row that is created has what it was created with.
        """
        call = _without_await(value)
        if not isinstance(call, ast.Call):
            return False
        origin = self.origin(call.func)
        if not origin or "_related(" in ast.unparse(call):
            return False
        if origin == f"{REQUEST}.auser" or self._returns_fresh_row(origin):
            return True
        head, _, method = origin.rpartition(".")
        if not self.resolver.queries.is_query(head):
            query = self.origin(call.args[0]) if call.args else ""
            return "_related" not in query and method in GET_OR_404
        return "_related" not in head and method in FETCHING and not method.endswith("create")

    def _returns_fresh_row(self, origin: str) -> bool:
        """Whether a function of this project only fetches a row, without its relations."""
        resolver = self.resolver
        scope = resolver.function(origin)
        if scope is None or not isinstance(scope.node, Def):
            return False
        is_plain = all(TO_THREAD.matches(each) for each, _ in resolver.decorators.of(scope))
        if not is_plain or "_related(" in scope.text_of_lines:
            return False
        local = resolver.locals(scope)
        returned = resolver.local_types.returned(scope, yields=False)
        calls = [each.value if isinstance(each, ast.Await) else each for each in returned]
        return bool(calls) and all(
            isinstance(call, ast.Call) and self._fetches(resolver.origin(call.func, scope, local))
            for call in calls
        )

    def _fetches(self, origin: str) -> bool:
        """Whether a call of this origin fetches a row of a query that was begun here."""
        head, _, method = origin.rpartition(".")
        is_new = method.endswith("create")
        if method not in FETCHING or is_new or "_related" in head:
            return False
        return self.resolver.queries.is_query(head)

    def _bind_pair(self, elements: list[ast.expr], value: ast.expr) -> None:
        """`order, is_new = await Order.objects.aget_or_create(…)`, and `PAIRS`."""
        call = _without_await(value)
        origin = self.origin(call.func) if isinstance(call, ast.Call) else ""
        head, _, method = origin.rpartition(".")
        for element, kind in zip(elements, PAIRS.get(origin, ()), strict=False):
            if isinstance(element, ast.Name):
                self.local[element.id] = kind
        first = elements[0] if elements else None
        if isinstance(first, ast.Name) and method in FETCHING_PAIRS:
            self.local[first.id] = self.resolver.queries.row(head)


def _without_await(value: ast.expr) -> ast.expr:
    return value.value if isinstance(value, ast.Await) else value
