"""Context managers that keep a value of a request in a `threading.local`."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.functions.function import Function, awaits
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.patterns import Patterns

THREAD_LOCAL = Patterns("threading.local", "_threading_local.local")
# Context managers of libraries that do so.
OF_LIBRARIES = Patterns("crum.impersonate")


def entered_across_awaits(function: Function, graph: CallGraph) -> Iterator[ast.expr]:
    """The context managers around an `await` that write a value into a `threading.local`.

    While the block waits, the same thread runs another request, which reads that value.
    """
    for block in function.blocks if function.scope.on_loop else ():
        if not isinstance(block.node, ast.With) or not awaits(block.node.body):
            continue
        call = function.calls_by_node.get(block.manager)
        entered = list(_entered(call.origin, graph)) if call is not None else []
        of_library = call is not None and OF_LIBRARIES.matches(call.origin)
        if of_library or any(map(_writes_local, _with_called(entered, graph))):
            yield block.manager


def _entered(origin: str, graph: CallGraph) -> Iterator[Function]:
    """What runs when a context manager is entered: a generator, or `__enter__` of a class."""
    made = graph.function(origin)
    if made is not None and graph.resolver.decorators.is_context_manager(made.scope):
        yield made
    enter = graph.resolver.classes.method(origin, "__enter__")
    if enter is not None and enter in graph.functions:
        yield graph.functions[enter]


def _with_called(entered: list[Function], graph: CallGraph) -> Iterator[Function]:
    """These functions, and those of the project that they call."""
    yield from entered
    for function in entered:
        yield from filter(None, (graph.function(call.origin) for call in function.calls))


def _writes_local(function: Function) -> bool:
    """Whether a function assigns to an attribute of a `threading.local`."""
    for node in own_nodes(function.scope.node):
        match node:
            case ast.Attribute(value=held, ctx=ast.Store()):
                pass
            case ast.Call(func=ast.Name(id="setattr"), args=[held, *_]):
                pass
            case _:
                continue
        if function.resolver.classes.is_a(function.origin_of(held), THREAD_LOCAL):
            return True
    return False
