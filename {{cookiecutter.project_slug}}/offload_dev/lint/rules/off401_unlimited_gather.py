"""OFF401: `asyncio.gather` starts calls without a limit."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.serialized_queries import serialized_queries
from offload_dev.lint.source import own_nodes
from offload_dev.lint.violations import Violation, call_violation

LIMITS = re.compile(r"async with [\w.]*(sem|limit|throttle|slot)", re.IGNORECASE)


@rule(
    "OFF401",
    message="starts calls without a limit, or lets the others run on after an error",
    instead="`offload.fanout.gather`, or a `TaskGroup`",
    target=Target.ASYNC_FUNCTION,
    severity="warning",
)
def unlimited_gather(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.gather`.

    It starts everything at once, and does not stop the rest after the first error. A fixed number
    of calls with `return_exceptions` is right, and so is a semaphore in what is started. A list of
    tasks that other lines have started is only waited for. Gathered queries are OFF402.
    """
    gathers = [call for call in function.calls if call.origin == "asyncio.gather"]
    queries = set(serialized_queries(function)) if gathers else set()
    for call in gathers:
        if call.node not in queries and _is_wrong(call.node, function):
            yield call_violation(call.node)


def _is_wrong(call: ast.Call, function: Function) -> bool:
    starred = [each.value for each in call.args if isinstance(each, ast.Starred)]
    if not starred:
        return not any(keyword.arg == "return_exceptions" for keyword in call.keywords)
    return any(_starts_any_number(each, function) for each in starred)


def _starts_any_number(gathered: ast.expr, function: Function) -> bool:
    """Whether a list of coroutines or tasks is as long as the data, and nothing limits it."""
    if isinstance(gathered, ast.Name) and gathered.id in function.resolver.parameters(
        function.scope
    ):
        return True
    started = list(_started_many_times(gathered, function.scope.node))
    return bool(started) and not any(_is_limited(each, function) for each in started)


def _started_many_times(gathered: ast.expr, node: ast.AST) -> Iterator[ast.Call]:
    """The calls that a comprehension makes, or a loop that appends to the gathered list."""
    if isinstance(gathered, ast.ListComp | ast.GeneratorExp | ast.SetComp):
        if isinstance(gathered.elt, ast.Call):
            yield gathered.elt
        return
    if not isinstance(gathered, ast.Name):
        return
    for each in own_nodes(node):
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == gathered.id:
                if not isinstance(value, ast.Name):
                    yield from _started_many_times(value, node)
            case ast.For(body=body) | ast.AsyncFor(body=body):
                yield from _appended(gathered.id, body)


def _appended(name: str, body: list[ast.stmt]) -> Iterator[ast.Call]:
    for each in (part for statement in body for part in ast.walk(statement)):
        match each:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=held), attr="append"),
                args=[ast.Call() as made],
            ) if held == name:
                yield made


def _is_limited(started: ast.Call, function: Function) -> bool:
    """Whether the started function waits for a semaphore, or the like."""
    calls = [each for each in ast.walk(started) if isinstance(each, ast.Call)]
    origins = (
        function.calls_by_node[each].origin for each in calls if each in function.calls_by_node
    )
    scopes = filter(None, map(function.resolver.function, origins))
    return any(LIMITS.search(ast.unparse(scope.node)) is not None for scope in scopes)
