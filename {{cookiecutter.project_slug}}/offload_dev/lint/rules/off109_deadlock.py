"""OFF109: a request's thread waits for a query that needs the same thread."""

from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.threads import moved_to_threads
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function


@rule(
    "OFF109",
    message="waits for a query that needs the same thread, a deadlock under ASGI",
    instead="an async view, or `async_to_sync` with the reason beside its import",
    target=Target.CALL_GRAPH,
)
def deadlock(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds second event loops in a request's thread whose coroutine needs that thread.

    A sync view holds its request's thread, and so does what `sync_to_async` calls. All queries of
    the request need that thread, too, so neither goes on. In an async function the same line raises
    at once, which is OFF106.
    """
    if not function.scope.on_loop and graph.is_view(function.scope):
        yield from _in_view(function, graph)
    yield from _in_moved_functions(function, graph)


def _in_view(view: Function, graph: CallGraph) -> Iterator[Violation]:
    """A deadlock of a sync view. If the way leads through another view, that view reports it.

    Under WSGI the line is right, so it is only a warning in a project that may run there, and right
    in one whose files start a WSGI server.
    """
    settings = graph.resolver.settings
    if settings.runs_under_wsgi or settings.names_no_async_server:
        return
    found = graph.deadlocks.first(view)
    if found is None or any(graph.is_view(step.scope) for step in found.chain[1:]):
        return
    chain = found.chain if len(found.chain) > 1 else ()
    likely = "" if graph.project.of_standard else "right under WSGI, a deadlock under ASGI"
    yield found._replace(line=found.chain[0].line, chain=chain, likely=likely)


def _in_moved_functions(function: Function, graph: CallGraph) -> Iterator[Violation]:
    for moved in moved_to_threads(function):
        called = graph.function(moved.origin) if moved.to_request_thread else None
        found = graph.deadlocks.first(called) if called else None
        if found is not None:
            name = moved.origin.rpartition(".")[2]
            yield violation(moved.node, f"{name}()")._replace(chain=found.chain)
