"""Queries that lock rows, and whether they run in a transaction."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.tree import CodeScope

LOCK = "select_for_update"
# They read rows with the query's lock. Others ignore it, or open a transaction: `update_or_create`.
READS_ROWS = {
    *("get", "first", "last", "latest", "earliest", "in_bulk", "exists", "contains"),
    *("get_or_create", "get_by_natural_key"),
}
# They read the rows of the query that they get.
GETS = {f"django.shortcuts.{a}get_{kind}_or_404" for a in ("", "a") for kind in ("object", "list")}
# What opens a transaction, also under another name: `cast(Any, transaction.atomic)()`.
OPENS = re.compile("atomic|autocommit")
# They run around the other methods of their class.
AROUND = ("__call__", "dispatch")


def locking_calls(function: Function) -> Iterator[CallSite]:
    """The calls, outside of any transaction of the function, that run a query which locks rows."""
    resolver = function.resolver
    for call in function.calls:
        is_shortcut = call.origin in GETS and bool(call.arguments)
        query = call.arguments[0] if is_shortcut else call.holder
        if call.atomic or not locks_rows(query, resolver):
            continue
        # A lock of nothing, and a query inside of another one, run no query themselves.
        reads = is_shortcut or call.method.removeprefix("a") in READS_ROWS
        if reads and resolver.queries.is_query(query):
            yield call


def locks_rows(query: str, resolver: Resolver) -> bool:
    """Whether a query locks its rows, by itself or by a manager's method: `Order.objects.held`."""
    parts = query.split(".")
    if LOCK in parts:
        return True
    if resolver.facts.locking_functions.isdisjoint(parts):
        return False
    found = resolver.models.query(query)
    methods = found.methods if found is not None else ()
    returned = (
        resolver.results.of_named(f"{found.manager}.{method}", found.manager)
        for method in methods
        if found is not None and method in resolver.facts.locking_functions
    )
    return any(LOCK in each.split(".") for each in returned)


def may_hold_transaction(function: Function, line: int) -> bool:
    """Whether a function may hold a transaction at a line, by whatever name. Three cases:

    1. A decorator of the function, its class, or a base class.
    2. A `with` block around the line.
    3. A line above, outside of a block: `stack.enter_context(transaction.atomic())`.
    """
    resolver, owner = function.resolver, function.scope.owner
    if any(_opens(node, holder, resolver) for node, holder in _around(function, line)):
        return True
    around = (resolver.classes.method(owner.dotted, name) for name in AROUND) if owner else ()
    if any(OPENS.search(each.text_of_lines) is not None for each in around if each is not None):
        return True
    if OPENS.search(function.scope.text_of_lines) is None:
        return False
    in_blocks = {node for block in function.blocks for node in all_nodes(block.manager)}
    return any(
        OPENS.search(getattr(node, "attr", getattr(node, "id", ""))) is not None
        for node in own_nodes(function.scope.node)
        if isinstance(node, ast.Attribute | ast.Name)
        if node.lineno <= line and node not in in_blocks
    )


def _around(function: Function, line: int) -> Iterator[tuple[ast.expr, CodeScope]]:
    """The decorators and the blocks around a line, and where their names are known."""
    for holder in filter(None, (function.scope, function.scope.owner)):
        around = holder.parent or holder
        for decorator in getattr(holder.node, "decorator_list", ()):
            yield decorator, around
            for keyword in getattr(decorator, "keywords", ()):
                # `@shared_task(base=AtomicTask)`
                yield from [(keyword.value, around)] if keyword.arg == "base" else []
        for base in getattr(holder.node, "bases", ()):
            yield base, around
    for block in function.blocks:
        if block.node.lineno <= line <= (block.node.end_lineno or 0):
            yield block.manager, function.scope


def _opens(node: ast.expr, scope: CodeScope, resolver: Resolver) -> bool:
    """Whether an expression opens a transaction, or a function or class of the project does so."""
    called = node.func if isinstance(node, ast.Call) else node
    local = resolver.locals(scope) if isinstance(scope.node, Def) else None
    origin = resolver.origin(called, scope, local)
    classes = map(resolver.classes.scope, resolver.classes.lineage(origin))
    named = filter(None, (resolver.function(origin), *classes))
    texts = (ast.unparse(node), *(each.text_of_lines for each in named))
    return any(OPENS.search(text) is not None for text in texts)
