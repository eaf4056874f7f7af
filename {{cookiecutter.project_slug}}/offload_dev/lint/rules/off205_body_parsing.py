"""OFF205: a body of any size is parsed on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import REQUEST
from offload_dev.lint.source.patterns import Patterns

PARSERS = Patterns("{json,orjson,ujson,simplejson,rapidjson}.{loads,load}")
BROUGHT = (f"{REQUEST}.body", f"{REQUEST}.FILES")


@rule(
    "OFF205",
    message="parses a body of any size on the event loop",
    instead="a typed parameter of the endpoint",
    target=Target.THREAD,
    severity="warning",
)
def body_parsing(function: Function) -> Iterator[Violation]:
    """Finds `json.loads(request.body)`, and the same for a file that the request brings.

    The client decides how long that takes: one megabyte is about 10 ms on the event loop. A
    function that looks at the length of the body has decided for itself.
    """
    if _looks_at_length(function):
        return
    for call in function.calls_not_awaited:
        parsed = call.arguments[0] if call.arguments else ""
        if PARSERS.matches(call.origin) and parsed.startswith(BROUGHT):
            yield call_violation(call.node)


def _looks_at_length(function: Function) -> bool:
    return any(
        call.origin == "builtins.len" and call.arguments[:1] == (f"{REQUEST}.body",)
        for call in function.calls
    ) or "CONTENT_LENGTH" in ast.dump(function.scope.node)
