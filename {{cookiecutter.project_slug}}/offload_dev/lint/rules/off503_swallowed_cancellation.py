"""OFF503: a cancellation is caught and not raised again."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.handlers import caught_names
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function, awaits
from offload_dev.lint.source.names import CONSUMERS
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.snippet import snippet

ENDS = "right if nobody waits for this task to be cancelled"


@rule(
    "OFF503",
    message="swallows the cancellation",
    instead="catch `Exception`, or raise the error again",
    target=Target.ASYNC_FUNCTION,
)
def swallowed_cancellation(function: Function) -> Iterator[Violation]:
    """Finds handlers that catch `CancelledError` around an `await`, and do not raise it again.

    The view then goes on after its client has left, and `asyncio.timeout` around it does not end.
    """
    for block in function.try_blocks:
        if awaits(block.body):
            yield from _swallowing_handlers(block, function)


def _swallowing_handlers(block: ast.Try, function: Function) -> Iterator[Violation]:
    is_last = block in _last_statements(getattr(function.scope.node, "body", []))
    for handler in block.handlers:
        caught = caught_names(handler)
        raises = any(isinstance(node, ast.Raise) for node in all_nodes(handler))

        # Three cases are right: the handler raises again (later handlers no longer see the error),
        # the function itself has cancelled the task that it awaits, or the function ends here, as
        # the cancellation asks it to. It has no result then.
        answers = _answers(handler)
        is_end = not answers and (is_last or _ends(handler))
        is_right = raises or is_end or _cancels(function)
        if ("CancelledError" in caught and is_right) or (is_end and _is_of_consumer(function)):
            return
        if not raises and not caught.isdisjoint({"BaseException", "CancelledError"}):
            caught_type = f" {snippet(handler.type)}" if handler.type else ""
            is_unsure = answers and "CancelledError" in caught
            likely = ENDS if is_unsure or is_end else ""
            yield violation(handler, f"except{caught_type}:", likely=likely)


def _is_of_consumer(function: Function) -> bool:
    """Whether Channels awaits a method: it looks at no error when it has cancelled it."""
    owner = function.scope.owner
    return owner is not None and function.resolver.classes.is_a(owner.dotted, CONSUMERS)


def _answers(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends with a result, as if nothing had happened."""
    last = handler.body[-1]
    return isinstance(last, ast.Return) and last.value is not None


def _ends(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends its function or its loop, so that nothing goes on."""
    return isinstance(handler.body[-1], ast.Return | ast.Break)


def _last_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements after which a function ends. A `return` or a `raise` may follow them."""
    while len(body) > 1 and isinstance(body[-1], ast.Return | ast.Raise):
        body = body[:-1]
    for last in body[-1:]:
        yield last
        if isinstance(last, ast.If | ast.Try | ast.With | ast.AsyncWith):
            yield from _last_statements(last.body)
            yield from _last_statements(getattr(last, "orelse", []))
            for handler in getattr(last, "handlers", []):
                yield from _last_statements(handler.body)


def _cancels(function: Function) -> bool:
    functions = (call.node.func for call in function.calls)
    return any(isinstance(node, ast.Attribute) and node.attr == "cancel" for node in functions)
