"""OFF406: calls of other services wait for one another."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls import repeated_calls
from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.request_hooks import answers_request
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

CALLS_SERVICE = Patterns(
    "{httpx,httpx2}.AsyncClient.*", "aiohttp.ClientSession.*", "offload.fanout.Upstream.*"
)
# An awaited function may call the service in a function that it calls.
MAX_DEPTH = 2
JOB = "a job, which the request starts"


@rule(
    "OFF406",
    message="waits for each service before it calls the next one",
    instead="`offload.fanout.gather`, or a `TaskGroup` with a limit",
    target=Target.CALL_GRAPH,
    severity="warning",
)
def calls_one_by_one(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds loops that only collect the answers of other services, one after the other.

    In a sync view also loops over rows that call a service, or send a mail, for each one.

    The loop takes as long as all services together, and a slow one takes the time of the others. A
    loop that does more with an answer may need it before the next call, and is not reported.
    """
    if not function.scope.on_loop:
        if answers_request(function, graph) and not _is_of_admin(function):
            for found in repeated_calls.of_request(function, graph):
                yield found._replace(instead=JOB)
        return
    for node in own_nodes(function.scope.node):
        awaited = _collected(node)
        call = function.calls_by_node.get(awaited) if awaited is not None else None
        if call is not None and _calls_service(call.origin, function.resolver):
            yield call_violation(call.node)


def _is_of_admin(function: Function) -> bool:
    """Whether staff starts it by hand, for the few rows that they have chosen."""
    return "admin" in function.scope.module.dotted.split(".")


def _collected(node: ast.AST) -> ast.expr | None:
    """What a loop or a comprehension awaits in each turn, if it only collects the results."""
    value: ast.expr | None = None
    match node:
        case ast.For(
            body=[ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"), args=[one]))]
        ):
            value = one
        case ast.For(body=[ast.Assign(targets=[ast.Subscript()], value=one)]):
            value = one
        case (
            ast.ListComp(elt=one, generators=[made])
            | ast.SetComp(elt=one, generators=[made])
            | ast.DictComp(value=one, generators=[made])
        ):
            value = None if made.is_async else one
    return value.value if isinstance(value, ast.Await) else None


def _calls_service(origin: str, resolver: Resolver, depth: int = MAX_DEPTH) -> bool:
    """Whether an async function calls another service, by itself or one function further."""
    if CALLS_SERVICE.matches(origin):
        return True
    scope: CodeScope | None = resolver.function(origin)
    if scope is None or not scope.on_loop or not depth:
        return False
    local = resolver.locals(scope)
    called = (node.func for node in own_nodes(scope.node) if isinstance(node, ast.Call))
    return any(
        _calls_service(resolver.origin(each, scope, local), resolver, depth - 1) for each in called
    )
