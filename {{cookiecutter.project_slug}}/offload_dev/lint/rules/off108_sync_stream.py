"""OFF108: a response is streamed from a sync iterator."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function, is_generator
from offload_dev.lint.settings.requirements_files import names_below
from offload_dev.lint.source.nodes import assigned
from offload_dev.lint.source.patterns import Patterns

# Methods of responses, of files in stores and of queries that give a sync iterator.
ITERATORS = {"iter_chunks", "iter_content", "iter_lines", "iter_bytes", "iter_raw", "iterator"}
# Before Django 4.2 it sends each part of a sync iterator at once.
READS_ALL = 4
STREAMS = Patterns("django.http.{,response.}StreamingHttpResponse")
LAZY = {"builtins.map", "builtins.filter", "builtins.zip"}
MAY_BE_ASYNC = "right if this is an async iterator"
UNDER_WSGI = "right where no async server runs this view"


@rule(
    "OFF108",
    message="streams from a sync iterator, which Django reads to its end first",
    instead="an async generator",
    target=Target.CALL_GRAPH,
)
def sync_stream(function: Function, _: CallGraph) -> Iterator[Violation]:
    """Finds a `StreamingHttpResponse` of a sync generator, in a plain view if ASGI serves it.

    Under ASGI Django reads a sync iterator to its end, in a thread, before it sends the first byte.
    """
    settings = function.resolver.settings
    is_plain = settings.runs_under_wsgi or not settings.runs_under_asgi
    is_plain = is_plain or settings.names_no_async_server
    if is_plain and not function.scope.on_loop:
        return
    likely = "" if function.scope.on_loop else UNDER_WSGI
    for call in function.calls:
        if not function.resolver.classes.is_a(call.origin, STREAMS):
            continue
        if names_below(function.resolver.project.root, "django", READS_ALL):
            return
        bodies = [assigned(body, function.scope.node) for body in _bodies(call.node)]
        if any(map(_is_of_method, bodies)):
            yield call_violation(call.node, likely=likely or MAY_BE_ASYNC)
        elif any(_is_sync_iterator(body, function) for body in bodies):
            yield call_violation(call.node, likely=likely)


def _bodies(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:1], *(k.value for k in call.keywords if k.arg == "streaming_content")]


def _is_of_method(body: ast.expr) -> bool:
    """Whether a method gives the iterator, which is a sync one, as its name says."""
    match body:
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ITERATORS
    return False


def _is_sync_iterator(body: ast.expr, function: Function) -> bool:
    match body:
        case ast.GeneratorExp(generators=[first, *_]):
            return not first.is_async
        case ast.Call() as call:
            if function.calls_by_node[call].origin in LAZY:
                return True
            made_by = function.resolver.function(function.calls_by_node[call].origin)
            return made_by is not None and not made_by.on_loop and is_generator(made_by)
    return False
