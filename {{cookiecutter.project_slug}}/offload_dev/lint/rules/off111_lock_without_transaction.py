"""OFF111: rows that are to be locked are not."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.locks import LOCK, locking_calls, locks_rows, may_hold_transaction
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.names import ORM, TASK_CLASSES
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope

BY_CALLER = "right if a caller that is not in this source holds a transaction"
IN_TRANSACTION = "the query inside of `transaction.atomic()`"
EVALUATE = "evaluate it in the transaction, as with `list(…)`, and work on its rows"
# Callers are followed through this many calls.
MAX_STEPS = 4


@rule(
    "OFF111",
    message="locks no rows",
    instead="one sync function with `transaction.atomic()`, called through `sync_to_async`",
    target=Target.CALL_GRAPH,
)
def lock_without_transaction(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds `select_for_update()` that locks nothing. Two cases:

    1. No transaction is open, also where one opens a line later: Django refuses the query. SQLite
       does not, so tests may pass. Async code has no transaction of its own, and so no lock either.
       A plain function counts if a view, a command or a task comes to it, or a commit, and no
       caller holds a transaction.
    2. Nothing evaluates the queryset.
    """
    for query in _unevaluated(function, graph):
        yield violation(query, f"`{snippet(query)}`, which nothing evaluates,", instead=EVALUATE)
    if function.scope.on_loop:
        for call in locking_calls(function):
            yield violation(call.node, f"`{snippet(call.node.func)}()`, outside of a transaction,")
        for node in own_nodes(function.scope.node):
            if isinstance(node, ast.AsyncFor) and LOCK in function.origin_of(node.iter).split("."):
                yield violation(node.iter, f"`{snippet(node.iter)}`, outside of a transaction,")
        return
    rows = _rows_outside(function)
    calls = [call.node for call in locking_calls(function)]
    nodes = [e for e in (*rows, *calls) if not may_hold_transaction(function, e.lineno)]
    if nodes and _runs_without_transaction(function.scope, graph):
        subject = f"`{snippet(nodes[0])}`, outside of a transaction,"
        yield violation(nodes[0], subject, likely=BY_CALLER, instead=IN_TRANSACTION)


def _rows_outside(function: Function) -> list[ast.expr]:
    """The querysets with a lock that are evaluated outside of the function's transactions.

    A variable that a transaction above has evaluated has its rows: reading it again runs nothing.
    """
    fetched: set[object] = set()
    found = []
    for each in function.evaluated:
        name = getattr(each.node, "id", each.node)
        if each.atomic:
            fetched.add(name)
        elif name not in fetched and locks_rows(each.origin, function.resolver):
            found.append(each.node)
    return found


def _runs_without_transaction(scope: CodeScope, graph: CallGraph, steps: int = MAX_STEPS) -> bool:
    """Whether a view, a command or a task comes to a function, and no caller holds a transaction.

    `ATOMIC_REQUESTS` opens one for each view. What waits for a commit runs after it.
    """
    is_command = scope.module.has_own_loop and scope.label.endswith(".handle")
    if is_command or _is_task(scope, graph) or scope in graph.after_commit:
        return True
    if graph.is_view(scope):
        return not graph.resolver.settings.has_atomic_requests
    callers = graph.callers.get(scope, []) if steps else []
    return bool(callers) and all(
        not call.atomic
        and not may_hold_transaction(graph.functions[caller], call.node.lineno)
        and _runs_without_transaction(caller, graph, steps - 1)
        for caller, call in callers
    )


def _is_task(scope: CodeScope, graph: CallGraph) -> bool:
    """Whether a worker runs a function: a task, or the `run` of a class of tasks."""
    if scope.owner is not None and scope.label.endswith(".run"):
        return graph.resolver.classes.is_a(scope.owner.dotted, TASK_CLASSES)
    return graph.functions[scope].is_task


def _unevaluated(function: Function, graph: CallGraph) -> Iterator[ast.Call]:
    """The querysets with a lock that no line evaluates. Two cases:

    1. A statement that consists of the query alone.
    2. A variable that no line reads, but to make another query for the same variable.
    """
    locking = {call.node for call in function.calls if _makes_lock(call, function, graph)}
    for node in own_nodes(function.scope.node) if locking else ():
        match node:
            case ast.Expr(value=ast.Call() as query) if query in locking:
                yield query
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as query)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as query)
            ):
                if query in locking and not _reads(name, function.scope.node):
                    yield query


def _makes_lock(call: CallSite, function: Function, graph: CallGraph) -> bool:
    """Whether a call makes a query with a lock, and no part of the expression runs one."""
    resolver, query = function.resolver, call.origin
    if resolver.facts.locking_functions.isdisjoint(query.split(".")) and LOCK not in query:
        return False
    if not resolver.queries.is_query(query) and call.method in resolver.facts.locking_functions:
        # A helper of the project, which returns the query.
        query = function.origin_of(call.node)
    if not (locks_rows(query, resolver) and resolver.queries.is_query(query)):
        return False
    inside = {node for node in all_nodes(call.node) if isinstance(node, ast.Call)}
    origins = (function.calls_by_node[node].origin for node in inside & set(function.calls_by_node))
    return not any(map(_runs_query, filter(None, map(graph.function, origins))))


def _runs_query(helper: Function) -> bool:
    return bool(helper.evaluated) or any(c.method in ORM["evaluating"] for c in helper.calls)


def _reads(name: str, node: ast.AST) -> bool:
    """Whether a line reads a variable, also in an inner function, or gives it to the module."""
    own = {
        inner
        for each in all_nodes(node)
        if isinstance(each, ast.Assign) and [getattr(t, "id", "") for t in each.targets] == [name]
        for inner in all_nodes(each.value)
    }
    return any(
        (isinstance(each, ast.Name) and each.id == name and isinstance(each.ctx, ast.Load))
        or (isinstance(each, ast.Global | ast.Nonlocal) and name in each.names)
        for each in all_nodes(node)
        if each not in own
    )
