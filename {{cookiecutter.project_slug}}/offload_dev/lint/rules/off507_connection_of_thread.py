"""OFF507: a thread keeps a database connection."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.threads import moved_to_threads
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import ORM
from offload_dev.lint.source.tree import CodeScope

QUERY = "OFF101"
CLOSES = re.compile(r"close_old_connections|connections?(\[[^\]]*\])?\.close|\.close_all\(")
OF_REQUEST = "thread_sensitive=True"
# It closes what the thread has opened.
CLOSING = "channels.db.database_sync_to_async"


@rule(
    "OFF507",
    message="queries in a thread that keeps its database connection",
    instead="`sync_to_async`, or `close_old_connections()` before and after the queries",
    target=Target.CALL_GRAPH,
    severity="warning",
)
def connection_of_thread(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds queries that run in a thread of a pool.

    Each thread opens a connection of its own. Django closes old ones at the end of a request, but
    only those of the request's own thread. The others stay open, one for each thread, and are used
    again after the database has closed them.
    """
    if function.scope.module.has_own_loop:
        return
    for moved in moved_to_threads(function):
        if moved.to_request_thread:
            continue
        if _is_query(moved.origin, function) and not _closes(function.scope):
            yield violation(moved.node, f"{_end_of(moved.origin)}()")
        called = graph.function(moved.origin)
        if called is None or called.is_task:
            continue
        is_of_request = OF_REQUEST in ast.unparse(moved.node)
        if is_of_request or any(origin == CLOSING for origin in _wrappers(function)):
            continue
        found = graph.blocking.of_function(called).get(QUERY)
        if found is not None and not found.likely and not _closes(called.scope, function.scope):
            subject = f"{_end_of(moved.origin)}()"
            yield violation(moved.node, subject)._replace(chain=found.chain)


def _is_query(origin: str, function: Function) -> bool:
    """Whether a thread gets a method that queries: `to_thread(Order.objects.count)`."""
    holder, _, method = origin.rpartition(".")
    return method in ORM["evaluating"] and function.resolver.queries.is_query(holder)


def _end_of(origin: str) -> str:
    return origin.rpartition(".")[2]


def _wrappers(function: Function) -> Iterator[str]:
    yield from (call.origin for call in function.calls)
    yield from (origin for origin, _ in function.decorators)


def _closes(*scopes: CodeScope) -> bool:
    return any(CLOSES.search(scope.module.text) is not None for scope in scopes)
