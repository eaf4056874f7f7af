"""OFF401: `asyncio.gather` starts calls without a limit."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.serialized_queries import serialized_queries
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF401",
    message="starts calls without a limit, and lets them run on after an error",
    instead="`offload.fanout.gather`, or a `TaskGroup`",
    target=Target.ASYNC_FUNCTION,
    severity="warning",
)
def unlimited_gather(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.gather`.

    It starts everything at once, and does not stop the rest after the first error. A fixed number
    of calls with `return_exceptions` is right. Gathered queries are OFF402.
    """
    gathers = [call for call in function.calls if call.origin == "asyncio.gather"]
    queries = set(serialized_queries(function)) if gathers else set()
    for call in gathers:
        if call.node not in queries and not _is_fixed_and_returns_errors(call.node):
            yield call_violation(call.node)


def _is_fixed_and_returns_errors(call: ast.Call) -> bool:
    is_fixed = not any(isinstance(argument, ast.Starred) for argument in call.args)
    return is_fixed and any(keyword.arg == "return_exceptions" for keyword in call.keywords)
