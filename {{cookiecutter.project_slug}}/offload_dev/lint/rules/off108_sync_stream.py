"""OFF108: a response is streamed from a sync iterator."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function, is_generator
from offload_dev.lint.local_types import assigned
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
        if is_stream and any(_is_sync_iterator(body, function) for body in _bodies(call.node)):
            yield call_violation(call.node)


def _bodies(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:1], *(k.value for k in call.keywords if k.arg == "streaming_content")]


def _is_sync_iterator(body: ast.expr, function: Function) -> bool:
    match assigned(body, function.scope.node):
        case ast.GeneratorExp(generators=[first, *_]):
            return not first.is_async
        case ast.Call() as call:
            made_by = function.resolver.function(function.calls_by_node[call].origin)
            return made_by is not None and not made_by.on_loop and is_generator(made_by)
    return False
