"""OFF108: a response is streamed from a sync iterator."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function, is_generator
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF108",
    message="streams from a sync iterator, which Django reads to its end first",
    instead="an async generator",
    target=Target.ASYNC_FUNCTION,
)
def sync_stream(function: Function) -> Iterator[Violation]:
    """Finds a `StreamingHttpResponse` of a sync generator.

    Under ASGI Django reads a sync iterator to its end, in a thread, before it sends the first byte.
    """
    for call in function.calls:
        is_stream = call.origin == "django.http.StreamingHttpResponse"
        if is_stream and _is_sync_iterator(call.node.args, function):
            yield call_violation(call.node)


def _is_sync_iterator(arguments: list[ast.expr], function: Function) -> bool:
    match arguments:
        case [ast.GeneratorExp(generators=[first, *_]), *_]:
            return not first.is_async
        case [ast.Call() as call, *_]:
            made_by = function.resolver.function(function.calls_by_node[call].origin)
            return made_by is not None and not made_by.on_loop and is_generator(made_by)
    return False
