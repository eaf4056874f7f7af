"""Queries that lock rows, and whether they run in a transaction."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.source import CodeScope, Def, own_nodes

LOCK = "select_for_update"
# They read rows with the query's lock. Others ignore it, or open a transaction: `update_or_create`.
READS_ROWS = {
    *("get", "first", "last", "latest", "earliest", "in_bulk", "exists", "contains"),
    *("get_or_create", "get_by_natural_key"),
}
# What opens a transaction, also under another name: `cast(Any, transaction.atomic)()`.
OPENS = re.compile("atomic|autocommit")


def locking_calls(function: Function) -> Iterator[CallSite]:
    """The calls, outside of any transaction of the function, that run a query which locks rows."""
    resolver = function.resolver
    for call in function.calls:
        if call.atomic or not locks_rows(call.holder, resolver):
            continue
        # A lock of nothing, and a query inside of another one, run no query themselves.
        if call.method.removeprefix("a") in READS_ROWS and resolver.queries.is_query(call.holder):
            yield call


def locks_rows(query: str, resolver: Resolver) -> bool:
    """Whether a query locks its rows, by itself or by a manager's method: `Order.objects.held`."""
    parts = query.split(".")
    if LOCK in parts:
        return True
    if resolver.project.locking_functions.isdisjoint(parts):
        return False
    found = resolver.models.query(query)
    methods = found.methods if found is not None else ()
    returned = (
        resolver.results.of_named(f"{found.manager}.{method}", found.manager)
        for method in methods
        if found is not None and method in resolver.project.locking_functions
    )
    return any(LOCK in each.split(".") for each in returned)


def may_hold_transaction(function: Function, line: int) -> bool:
    """Whether a function may hold a transaction at a line, by whatever name. Three cases:

    1. A decorator of the function, or of its class.
    2. A `with` block around the line.
    3. A line above, outside of a block: `stack.enter_context(transaction.atomic())`.
    """
    if any(_opens(node, holder, function.resolver) for node, holder in _around(function, line)):
        return True
    if OPENS.search(function.scope.text_of_lines) is None:
        return False
    in_blocks = {node for block in function.blocks for node in ast.walk(block.manager)}
    return any(
        OPENS.search(getattr(node, "attr", getattr(node, "id", ""))) is not None
        for node in own_nodes(function.scope.node)
        if isinstance(node, ast.Attribute | ast.Name)
        if node.lineno <= line and node not in in_blocks
    )


def _around(function: Function, line: int) -> Iterator[tuple[ast.expr, CodeScope]]:
    """The decorators and the blocks around a line, and where their names are known."""
    for holder in filter(None, (function.scope, function.scope.owner)):
        for decorator in getattr(holder.node, "decorator_list", ()):
            yield decorator, holder.parent or holder
    for block in function.blocks:
        if block.node.lineno <= line <= (block.node.end_lineno or 0):
            yield block.manager, function.scope


def _opens(node: ast.expr, scope: CodeScope, resolver: Resolver) -> bool:
    """Whether an expression opens a transaction, or a function or class of the project does so."""
    called = node.func if isinstance(node, ast.Call) else node
    local = resolver.locals(scope) if isinstance(scope.node, Def) else None
    origin = resolver.origin(called, scope, local)
    named = resolver.function(origin) or resolver.classes.scope(origin)
    texts = [ast.unparse(node), named.text_of_lines if named is not None else ""]
    return any(OPENS.search(text) is not None for text in texts)
