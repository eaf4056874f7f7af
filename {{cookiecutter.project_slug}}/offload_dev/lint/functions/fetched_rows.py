"""Rows that a query fetches, and the relations that come with them."""

import ast
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from offload_dev.lint.functions.query_relations import QueryRelations
from offload_dev.lint.functions.thread_calls import made_by
from offload_dev.lint.origins.local_types import Types
from offload_dev.lint.origins.models import Query
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import FETCHING, ORM, REQUEST, TO_THREAD
from offload_dev.lint.source.nodes import Def, assigned, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

GET_OR_404 = ("get_object_or_404", "aget_object_or_404")
# Decorators that hand on what the function returns.
PASS_ON = Patterns("django.db.transaction.atomic", "builtins.{staticmethod,classmethod}")
# They return the rows that they get.
LISTS = {f"builtins.{name}" for name in ("list", "tuple", "set", "sorted", "reversed")}
# It fetches relations of rows that a list has already.
FETCHES_LATER = "prefetch_related_objects"
# What functions return is followed through this many of them.
MAX_DEPTH = 3


class Rows(NamedTuple):
    """Rows of one model.

    Args:
        model: the model.
        fetched: the relations that were fetched with each row: `customer__country`.
    """

    model: str
    fetched: frozenset[str]

    def has(self, path: str) -> bool:
        """Whether a relation was fetched with the row."""
        return any(f"{each}__".startswith(f"{path}__") for each in self.fetched)

    def names(self, relation: str) -> bool:
        """Whether a relation of this name was fetched, of the row or of another one behind it."""
        return any(relation in each.split("__") for each in self.fetched)


class FetchedRows:
    """Finds the rows in a value, where the source tells all relations that come with them.

    Args:
        scope: the function whose lines are visited.
        lists: its variables that hold a list of rows; `orders.values()` for a dictionary of rows.
    """

    def __init__(self, resolver: Resolver, scope: CodeScope, lists: Mapping[str, Rows]) -> None:
        self._resolver, self._scope, self._lists = resolver, scope, lists
        self._relations = QueryRelations(resolver)

    def of_row(
        self, value: ast.expr, scope: CodeScope, local: Types, depth: int = 0
    ) -> Rows | None:
        """The row that a value fetches: `await Order.objects.aget(pk=1)`.

        A row that is created has what it was created with.
        """
        if not isinstance(value, ast.Await | ast.Call | ast.Subscript | ast.Name):
            return None
        call = made_by(value, scope, local, self._resolver)
        if isinstance(call, ast.Subscript):
            return self._user_of_channels(call, scope, local)
        if not isinstance(call, ast.Call):
            return None
        origin = self._resolver.origin(call.func, scope, local)
        if origin == f"{REQUEST}.auser":
            return Rows(self._resolver.models.user, frozenset())
        head, _, method = origin.rpartition(".")
        if method in GET_OR_404 and call.args:
            found = self._resolver.origin(call.args[0], scope, local)
            if self._resolver.models.is_model(found):
                return Rows(found, frozenset())
            return self.of_query(call.args[0], scope, local)
        if self._resolver.conventions.fetches_no_relations(head, method):
            model = self._resolver.conventions.returned(head, method)
            return Rows(model, frozenset()) if model else None
        is_fetched = method in FETCHING and not method.endswith("create")
        is_of_query = is_fetched and self._resolver.queries.is_query(head)
        if is_of_query and isinstance(call.func, ast.Attribute):
            return self.of_query(call.func.value, scope, local)
        return self._returned(origin, self.of_row, depth)

    def _user_of_channels(self, read: ast.Subscript, scope: CodeScope, local: Types) -> Rows | None:
        """`self.scope["user"]`, which the middleware of Channels has fetched."""
        user = self._resolver.models.user
        if self._resolver.facts.fetches_user_of_scope:
            return None
        is_user = isinstance(read.slice, ast.Constant) and read.slice.value == "user"
        is_of_scope = is_user and self._resolver.origin(read, scope, local) == user
        return Rows(user, frozenset()) if is_of_scope else None

    def of_list(
        self, value: ast.expr, scope: CodeScope, local: Types, depth: int = 0
    ) -> Rows | None:
        """The rows of a list: `[order async for order in orders]`, `list(orders)`."""
        if isinstance(value, ast.Constant | ast.Attribute):
            return None
        found = self._of_list(value, scope, local, depth)
        # Last, since it reads the whole file, and few values are lists of rows.
        return None if found is not None and scope.module.has(FETCHES_LATER) else found

    def _of_list(self, value: ast.expr, scope: CodeScope, local: Types, depth: int) -> Rows | None:
        made = made_by(value, scope, local, self._resolver)
        if self._lists and scope is self._scope and (known := self._lists.get(ast.unparse(made))):
            return known
        match made:
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return self._of_source(_source(made), scope, local, depth)
            case ast.Subscript(value=held, slice=ast.Slice()):
                return self.of_list(held, scope, local, depth)
            case ast.Call(func=called, args=args):
                origin = self._resolver.origin(called, scope, local)
                if origin in LISTS and args:
                    return self._of_source(args[0], scope, local, depth)
                return self._returned(origin, self.of_list, depth)
        return None

    def of_values(self, value: ast.expr, scope: CodeScope, local: Types) -> Rows | None:
        """The rows of a dictionary: `{order.pk: order async for order in orders}`."""
        made = made_by(value, scope, local, self._resolver)
        match made:
            case ast.DictComp(value=kept, generators=generators):
                same = ast.copy_location(ast.ListComp(kept, generators), made)
                return self._of_source(_source(same), scope, local, 0)
            case ast.Call(func=ast.Attribute(value=query, attr="ain_bulk" | "in_bulk")):
                return self.of_query(query, scope, local)
        return None

    def _of_source(
        self, source: ast.expr | None, scope: CodeScope, local: Types, depth: int
    ) -> Rows | None:
        """The rows of a query or of a list."""
        if source is None:
            return None
        return self.of_query(source, scope, local) or self.of_list(source, scope, local, depth)

    def of_query(self, query: ast.expr, scope: CodeScope, local: Types) -> Rows | None:
        """The rows of a queryset; None if they may come with relations that no line names here."""
        origin = self._resolver.origin(query, scope, local)
        found = self._resolver.models.query(origin)
        if not self._resolver.queries.is_query(origin) or found is None:
            return None
        model = self._resolver.queries.row(origin)
        fetched = self._relations.of(query, scope, local)
        is_own = self._resolver.queries.method(found.manager, "get_queryset")
        if not model or fetched is None or (is_own and "_related(" in is_own.text_of_lines):
            return None
        if self._may_be_prefetched(found):
            return None
        # The rows of `customer.orders` know their customer.
        holder = found.manager.rpartition(".")[0]
        return Rows(model, fetched | self._relations_to(holder, model))

    def _may_be_prefetched(self, query: Query) -> bool:
        """Whether `order.lines.all()` may give what `prefetch_related` has fetched."""
        name = query.manager.rpartition(".")[2]
        is_free = name not in ORM["managers"] and set(query.methods) <= {"all"}
        return is_free and self._resolver.facts.prefetches(name)

    def _relations_to(self, holder: str, model: str) -> frozenset[str]:
        if holder == model:
            return frozenset()
        models = self._resolver.models
        names = self._resolver.classes.method_names(model)
        return frozenset(name for name in names if models.target(model, name) == holder)

    def _returned(self, origin: str, kind: "Kind", depth: int) -> Rows | None:
        """The rows that a function of this project returns, if all of them are the same."""
        scope = self._resolver.function(origin)
        if scope is None or not isinstance(scope.node, Def) or depth >= MAX_DEPTH:
            return None
        key, answers = (scope, kind.__name__), self._resolver.answers
        if key in answers:
            known: Rows | None = answers[key]
            return known
        found = self._read_returned(scope, kind, depth)
        if not depth:
            answers[key] = found
        return found

    def _read_returned(self, scope: CodeScope, kind: "Kind", depth: int) -> Rows | None:
        decorators = (origin for origin, _ in self._resolver.decorators.of(scope))
        if not all(TO_THREAD.matches(each) or PASS_ON.matches(each) for each in decorators):
            return None
        local = self._resolver.locals(scope)
        values = self._resolver.local_types.returned(scope, yields=False)
        found = _common(
            kind(assigned(value, scope.node), scope, local, depth + 1) for value in values
        )
        return self._with_relations_read(found, values, scope) if found is not None else None

    def _with_relations_read(self, rows: Rows, values: list[ast.expr], scope: CodeScope) -> Rows:
        """The rows with the relations that a function reads before it returns them."""
        names = {value.id for value in values if isinstance(value, ast.Name)}
        read = {
            node.attr
            for node in own_nodes(scope.node)
            if isinstance(node, ast.Attribute) and names
            if self._resolver.models.is_relation(rows.model, node.attr)
        }
        return Rows(rows.model, rows.fetched | read)


Kind = Callable[[ast.expr, CodeScope, Types, int], Rows | None]


def _common(found: Iterable[Rows | None]) -> Rows | None:
    """The rows of all values, with what any of them has fetched; None if one is not known."""
    rows = list(found)
    known = [each for each in rows if each is not None]
    if not known or len(known) < len(rows) or len({each.model for each in known}) > 1:
        return None
    return Rows(known[0].model, frozenset().union(*(each.fetched for each in known)))


def _source(made: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> ast.expr | None:
    """The source of a comprehension that keeps the items as they are."""
    match made:
        case (
            ast.ListComp(elt=ast.Name(id=kept))
            | ast.SetComp(elt=ast.Name(id=kept))
            | (ast.GeneratorExp(elt=ast.Name(id=kept)))
        ):
            first = made.generators[0]
            is_same = getattr(first.target, "id", "") == kept and len(made.generators) == 1
            return first.iter if is_same else None
    return None
