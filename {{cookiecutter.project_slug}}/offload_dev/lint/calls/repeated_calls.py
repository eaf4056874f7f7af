"""Loops over rows, or over what a request brings, that wait for another service in each turn."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.unbounded import is_unbounded
from offload_dev.lint.checks.violations import ChainStep, Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.nodes import all_nodes, own_nodes

FEW_ROWS = "short with few rows"
MAIL = {"django.core.mail", "smtplib"}
# The call in a turn may stand in a function that the loop calls.
MAX_STEPS = 3
LEAVES = (ast.Break, ast.Return)


def of_request(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """The first such loop of a view, or of a function that it calls."""
    for found in _repeated(function, graph):
        yield found
        return
    for call, called in graph.called_on_same_thread(function):
        for found in _repeated(called, graph):
            line = call.node.lineno
            steps = (function.scope, line), (called.scope, found.line)
            chain = tuple(ChainStep(scope, at, scope.label) for scope, at in steps)
            yield found._replace(line=line, chain=chain)
            return


def _repeated(function: Function, graph: CallGraph) -> Iterator[Violation]:
    for loop in own_nodes(function.scope.node):
        # A loop that ends at the first answer tries one service after the other.
        if not isinstance(loop, ast.For) or not is_unbounded(loop.iter, function):
            continue
        inside = {node for statement in loop.body for node in all_nodes(statement)}
        if any(isinstance(node, LEAVES) for node in inside):
            continue
        for call in function.calls_not_awaited:
            if call.node in inside and (found := _waits(call, function, graph)):
                yield found._replace(likely=FEW_ROWS)


def _waits(call: CallSite, function: Function, graph: CallGraph) -> Violation | None:
    """What a call waits for: another service, by itself or further away, or the mail server."""
    library = function.resolver.libraries.find("blocks", call.origin)
    if library is not None and (library.http or library.name in MAIL):
        return call_violation(call.node)
    called = graph.function(call.origin)
    if called is None or called.scope.on_loop or called.is_task:
        return None
    first = graph.service_calls.first(called)
    if first is None or first.likely or len(first.chain) > MAX_STEPS:
        return None
    return call_violation(call.node)
