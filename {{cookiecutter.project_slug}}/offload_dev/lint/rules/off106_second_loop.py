"""OFF106: an event loop is started inside of the running one."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import SECOND_LOOP
from offload_dev.lint.source.snippet import snippet


@rule(
    "OFF106",
    message="starts an event loop inside of the running one",
    instead="await the coroutine itself",
    target=Target.THREAD,
)
def second_loop(function: Function) -> Iterator[Violation]:
    """Finds `asyncio.run`, `async_to_sync` and the like.

    They start an event loop, and raise `RuntimeError` where one runs already.
    """
    for call in function.calls_to(SECOND_LOOP):
        yield call_violation(call.node, instead=_advice(call.node))


def _advice(call: ast.Call) -> str:
    """`await f()` for `asyncio.run(f())`, and for `async_to_sync(f)()`."""
    match call:
        case ast.Call(func=ast.Call(args=[wrapped, *_])):
            return f"`await {snippet(wrapped)}(…)`"
        case ast.Call(args=[ast.Call() as coroutine, *_]):
            return f"`await {snippet(coroutine)}`"
    return ""
