"""OFF202: a long loop runs on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.long_loops import long_loops, loops_made_long
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation
from offload_dev.lint.functions.function import Function


@rule(
    "OFF202",
    message="runs on the event loop without an `await`",
    instead="a job",
    target=Target.THREAD,
)
def long_loop(function: Function) -> Iterator[Violation]:
    """Finds loops over a `range` of 100,000 turns or more, which take 5 ms or more.

    Async code gives way only at an `await`. Nested loops are multiplied. A loop whose length
    depends on data cannot be seen in the source: the watchdog sees it at run time.
    """
    yield from long_loops(function)


@long_loop.at_call
def long_by_argument(function: Function, call: ast.Call, caller: Function) -> Iterator[Violation]:
    """Finds loops that become long by the number that a call gives to the function."""
    yield from loops_made_long(function, call, caller)
