"""OFF401: `asyncio.gather` starts calls without a limit."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.serialized_queries import serialized_queries
from offload_dev.lint.checks.unbounded import is_unbounded
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.nodes import all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.tree import CodeScope

# A pool of threads limits what runs in it.
LIMITS = re.compile(
    r"async with [\w.]*(sem|limit|throttle|slot)|to_thread\(|run_in_executor\(", re.IGNORECASE
)
SEMAPHORES = Patterns(
    "asyncio.{Semaphore,BoundedSemaphore}", "anyio.{Semaphore,CapacityLimiter}", "aiolimiter.*"
)
WAITS_FOR_ALL = Patterns("asyncio.{wait,as_completed}")
OF_GROUPS = Patterns("asyncio.TaskGroup.create_task")
# A started function may wait for the semaphore in a function that it calls.
MAX_DEPTH = 2
Started = tuple[ast.Call, list[ast.expr]]


@rule(
    "OFF401",
    message="starts calls without a limit, or lets the others run on after an error",
    instead="`offload.fanout.gather`, or a `TaskGroup`",
    target=Target.ASYNC_FUNCTION,
    severity="warning",
)
def unlimited_gather(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.gather` of as many calls as the data has items.

    So are `asyncio.wait` and `as_completed`, and a `TaskGroup` whose tasks a loop starts.
    A fixed number of calls is wrong only where an `except` drops the error of one of them: the
    function goes on while the others still run. Right are `return_exceptions=True`, a handler that
    cancels the others, and a semaphore or a thread in what is started. A list of tasks that other
    lines have started is only waited for. Gathered queries are OFF402.
    """
    for call in function.calls:
        if WAITS_FOR_ALL.matches(call.origin) and call.node.args:
            is_wrong = _starts_any_number(call.node.args[0], function)
        else:
            is_wrong = OF_GROUPS.matches(call.origin) and _is_started_many_times(call, function)
        if is_wrong:
            yield call_violation(call.node)
    gathers = [call for call in function.calls if call.origin == "asyncio.gather"]
    queries = set(serialized_queries(function)) if gathers else set()
    for call in gathers:
        if call.node not in queries and _is_wrong(call.node, function):
            yield call_violation(call.node)


def _is_wrong(call: ast.Call, function: Function) -> bool:
    handlers = [h for block in function.try_blocks if _holds(block, call) for h in block.handlers]
    if _returns_errors(call) or any(".cancel(" in ast.unparse(handler) for handler in handlers):
        return False
    starred = [each.value for each in call.args if isinstance(each, ast.Starred)]
    if not starred:
        return any(map(_drops_error, handlers))
    return any(_starts_any_number(each, function) for each in starred)


def _is_started_many_times(call: CallSite, function: Function) -> bool:
    """Whether a loop as long as the data starts a task of a group, and nothing limits it."""
    started = call.node.args[0] if call.node.args else None
    sources: list[ast.expr] = []
    for node in own_nodes(function.scope.node):
        match node:
            case ast.For(iter=source) | ast.AsyncFor(iter=source):
                sources += [source] if call.node in all_nodes(node) else []
            case ast.ListComp(generators=made) | ast.SetComp(generators=made):
                sources += [each.iter for each in made if call.node in all_nodes(node)]
    if started is None or not any(is_unbounded(source, function) for source in sources):
        return False
    return not _is_limited(started, function.scope, function)


def _holds(block: ast.Try, call: ast.Call) -> bool:
    return any(call in all_nodes(statement) for statement in block.body)


def _returns_errors(call: ast.Call) -> bool:
    return any(
        keyword.arg == "return_exceptions" and ast.unparse(keyword.value) != "False"
        for keyword in call.keywords
    )


def _drops_error(handler: ast.ExceptHandler) -> bool:
    return all(isinstance(statement, ast.Pass) for statement in handler.body)


def _starts_any_number(gathered: ast.expr, function: Function) -> bool:
    """Whether a list of coroutines or tasks is as long as the data, and nothing limits it."""
    if isinstance(gathered, ast.Name) and gathered.id in function.resolver.parameters(
        function.scope
    ):
        return function.takes_request
    started = list(_started_many_times(gathered, function.scope.node))
    return any(
        any(is_unbounded(source, function) for source in sources) for _, sources in started
    ) and not any(_is_limited(call, function.scope, function) for call, _ in started)


def _started_many_times(gathered: ast.expr, node: ast.AST) -> Iterator[Started]:
    """The calls that a comprehension makes, or a loop that appends to the gathered list.

    Each with what it iterates over.
    """
    if isinstance(gathered, ast.ListComp | ast.GeneratorExp | ast.SetComp):
        if isinstance(gathered.elt, ast.Call):
            yield gathered.elt, [generator.iter for generator in gathered.generators]
        return
    if not isinstance(gathered, ast.Name):
        return
    for each in own_nodes(node):
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == gathered.id:
                if not isinstance(value, ast.Name):
                    yield from _started_many_times(value, node)
            case ast.For(body=body, iter=source) | ast.AsyncFor(body=body, iter=source):
                yield from ((call, [source]) for call in _appended(gathered.id, body))


def _appended(name: str, body: list[ast.stmt]) -> Iterator[ast.Call]:
    for each in (part for statement in body for part in all_nodes(statement)):
        match each:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=held), attr="append"),
                args=[ast.Call() as made],
            ) if held == name:
                yield made


def _is_limited(
    started: ast.AST, scope: CodeScope, function: Function, depth: int = MAX_DEPTH
) -> bool:
    """Whether a started function, or one that it calls, waits for a semaphore or a thread."""
    resolver = function.resolver
    for call in all_nodes(started):
        if not isinstance(call, ast.Call):
            continue
        called = resolver.function(resolver.origin(call.func, scope, resolver.locals(scope)))
        if called is not None and (
            LIMITS.search(ast.unparse(called.node)) is not None
            or _enters_semaphore(called, function)
            or (depth > 1 and _is_limited(called.node, called, function, depth - 1))
        ):
            return True
    return LIMITS.search(ast.unparse(started)) is not None


def _enters_semaphore(called: CodeScope, function: Function) -> bool:
    resolver, local = function.resolver, function.resolver.locals(called)
    return any(
        SEMAPHORES.matches(resolver.origin(item.context_expr, called, local))
        for node in own_nodes(called.node)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
    )
