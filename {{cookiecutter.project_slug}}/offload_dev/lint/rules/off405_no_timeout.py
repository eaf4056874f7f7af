"""OFF405: a call may wait for ever."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.snippet import snippet
from offload_dev.lint.violations import Violation, violation

HTTP_LIBRARIES = ("httpx", "aiohttp.", "requests.")


@rule(
    "OFF405",
    message="waits without a limit",
    instead="a timeout, and a deadline around the whole call",
    target=Target.FUNCTION,
)
def no_timeout(function: Function) -> Iterator[Violation]:
    """Finds HTTP calls and clients with `timeout=None`.

    One upstream that does not answer then keeps its request, its connection and its caller.
    """
    for call in function.calls:
        if call.origin.startswith(HTTP_LIBRARIES) and _has_no_timeout(call.node):
            likely = "right for a stream that never ends" if call.method == "stream" else ""
            subject = f"{snippet(call.node.func)}() with timeout=None"
            yield violation(call.node, subject, likely=likely)


def _has_no_timeout(call: ast.Call) -> bool:
    return any(
        keyword.arg == "timeout"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is None
        for keyword in call.keywords
    )
