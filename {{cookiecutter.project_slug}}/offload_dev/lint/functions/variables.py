"""What the local variables of one function hold, from line to line."""

import ast
from functools import cached_property

from offload_dev.lint.functions.fetched_rows import FetchedRows, Rows
from offload_dev.lint.functions.thread_calls import made_by
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import FETCHING_PAIRS, SIGNALS
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope

# What calls return several values, and what these are.
PAIRS = {
    "asyncio.open_connection": ("asyncio.StreamReader", "asyncio.StreamWriter"),
    "asyncio.open_unix_connection": ("asyncio.StreamReader", "asyncio.StreamWriter"),
    "multiprocessing.Pipe": ("multiprocessing.Pipe", "multiprocessing.Pipe"),
}


class Variables:
    """The variables of one function. The visitor changes them in the order of the lines.

    Attributes:
        local: the origins of the variables.
        parameters: the names of the function's parameters.
        values: what the variables were assigned last.
        items: what was assigned to the items of the variables: `context["orders"] = orders`.
        added: what was appended to the variables, as calls.
        rows: the variables that hold a row which was fetched here.
        lists: the variables that hold a list of such rows.
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
        self.rows: dict[str, Rows] = {}
        self.lists: dict[str, Rows] = {}
        self._fetched_rows = FetchedRows(resolver, scope, self.lists)
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
            for element, part in zip(target.elts, self._parts(value), strict=False):
                self.bind(element, part)
        match target:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
                self.items.setdefault(name, []).append((key, value))
        if not isinstance(target, ast.Name):
            return

        self.items.pop(target.id, None)
        self.added.pop(target.id, None)
        origin = self.origin(value)
        row, rows = self.row_of(value), self.listed(value)
        values = self._fetched_rows.of_values(value, self.scope, self.local)
        origin = origin or (row.model if row is not None else "")
        # Each signal has receivers of its own.
        is_signal = SIGNALS.matches(origin)
        self.local[target.id] = f"{self.scope.dotted}.{target.id}" if is_signal else origin
        row = self._of_all_branches(target.id, row, value)
        self.values[target.id] = value
        self.fetched.discard(target.id)
        self._hold(target.id, row, rows)
        if values is not None:
            self.lists[f"{target.id}.values()"] = values

    def forget(self, target: ast.expr) -> None:
        """Note that the names in a target hold something that is not known."""
        for node in all_nodes(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.local[node.id] = ""
                self.values.pop(node.id, None)
                self._hold(node.id)

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
            return node.id in self.rows and not self.rows[node.id].fetched
        # `self.scope["user"]` of Channels, which its middleware has fetched.
        if isinstance(node, ast.Subscript):
            is_user = self.origin(node) == self.resolver.models.user
            return is_user and not self.resolver.facts.fetches_user_of_scope
        # `order.customer.country`: the first relation did not bring the second one.
        return isinstance(node, ast.Attribute) and bool(
            self.is_fresh(node.value)
            and self.resolver.models.is_relation(self.origin(node.value), node.attr)
        )

    def lacks(self, node: ast.Attribute) -> bool:
        """Whether this is a relation of a row that was fetched without it."""
        root, path = node.value, [node.attr]
        while isinstance(root, ast.Attribute):
            path.insert(0, root.attr)
            root = root.value
        row = self.rows.get(root.id) if isinstance(root, ast.Name) else None
        if isinstance(root, ast.Await):
            row = self.row_of(root)
            return row is not None and not row.has("__".join(path))
        if row is None or not row.fetched:
            return self.is_fresh(node.value)
        return not row.has("__".join(path))

    def row_of(self, value: ast.expr) -> Rows | None:
        """The row in a value, if it is fetched here: by a query, or as an item of a list."""
        match value:
            case ast.Subscript(value=held, slice=ast.Constant(value=int())):
                return self.listed(held)
        return self._fetched_rows.of_row(value, self.scope, self.local)

    def listed(self, value: ast.expr) -> Rows | None:
        """The rows in a list that were fetched here."""
        return self._fetched_rows.of_list(value, self.scope, self.local)

    def run(self, value: ast.expr) -> ast.expr:
        """What an expression runs, in this thread or in another one: `sync_to_async(f)(1)`."""
        return made_by(value, self.scope, self.local, self.resolver)

    def iterated(self, source: ast.expr) -> Rows | None:
        """The rows that a loop over a queryset, or over a list of rows, gives to its variable."""
        if rows := self.listed(source):
            return rows
        if isinstance(source, ast.Name) and source.id not in self.values:
            return None
        return self._fetched_rows.of_query(source, self.scope, self.local)

    def rows_in(self, node: ast.expr) -> Rows | None:
        """The row, or the rows of a list, that an expression holds and that were fetched here."""
        if isinstance(node, ast.Name) and node.id in self.rows:
            return self.rows[node.id]
        if self.is_fresh(node):
            return Rows(self.origin(node), frozenset())
        return self.listed(node) or self.row_of(node)

    def add_row(self, name: str, row: ast.expr) -> None:
        """Note that a list gets a row: `found.append(order)`."""
        rows, known = self.rows_in(row), self.lists.get(name)
        made = self.values.get(name)
        is_new = isinstance(made, ast.List) and not made.elts and known is None
        if rows is not None and (is_new or (known is not None and known.model == rows.model)):
            fetched = rows.fetched | (known.fetched if known is not None else frozenset())
            self.lists[name] = Rows(rows.model, fetched)

    def is_kept_row(self, node: ast.expr) -> bool:
        """Whether this is an attribute to which methods only assign rows without relations."""
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if self.scope.owner:
                given = self.resolver.classes.assigned(self.scope.owner.dotted, name)
            case _:
                return False
        rows = [
            self._fetched_rows.of_row(value, scope, self.resolver.locals(scope))
            for value, scope in given
            if not (isinstance(value, ast.Constant) and value.value is None)
        ]
        return bool(rows) and all(row is not None and not row.fetched for row in rows)

    @cached_property
    def _always_run(self) -> set[ast.AST]:
        """The values of the statements that stand in no block."""
        values = (getattr(each, "value", None) for each in self.scope.node.body)
        return {each for each in values if isinstance(each, ast.AST)}

    def _of_all_branches(self, name: str, row: Rows | None, value: ast.expr) -> Rows | None:
        """The row with what another branch has fetched; None if that is not known."""
        known, before = self.rows.get(name), self.values.get(name)
        is_always = value in self._always_run
        if row is None or is_always or before is None or isinstance(before, ast.Constant):
            return row
        is_same = known is not None and known.model == row.model
        return Rows(row.model, row.fetched | known.fetched) if known and is_same else None

    def _hold(self, name: str, row: Rows | None = None, rows: Rows | None = None) -> None:
        """Note the fetched row, or the list of them, that a variable holds now."""
        self.lists.pop(f"{name}.values()", None)
        for held, found in ((self.rows, row), (self.lists, rows)):
            held.pop(name, None)
            if found is not None:
                held[name] = found

    def keep_row(self, name: str, row: Rows) -> None:
        """Note that a variable of a loop holds a row."""
        self.local[name] = row.model
        self._hold(name, row)

    def is_unchanged_parameter(self, name: str) -> bool:
        """Whether the caller gives this value: a parameter that the function never assigns to."""
        return name in self.parameters and not any(
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
            for node in own_nodes(self.scope.node)
        )

    def _parts(self, value: ast.expr) -> list[ast.expr]:
        """What `await asyncio.gather(first(), second())` gives to two variables."""
        match value:
            case ast.Await(value=ast.Call(func=called, args=args)):
                if self.origin(called) == "asyncio.gather":
                    return [ast.copy_location(ast.Await(each), each) for each in args]
        return []

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
