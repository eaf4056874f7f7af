"""OFF205: a body of any size is parsed on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.resolver import REQUEST
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF205",
    message="parses a body of any size on the event loop",
    instead="a typed parameter of the endpoint",
    target=Target.THREAD,
    severity="warning",
)
def body_parsing(function: Function) -> Iterator[Violation]:
    """Finds `json.loads(request.body)`.

    The client decides how long that takes: one megabyte is about 10 ms on the event loop.
    """
    for call in function.calls_not_awaited:
        parsed = call.arguments[0] if call.arguments else ""
        if call.origin == "json.loads" and parsed.startswith(f"{REQUEST}.body"):
            yield call_violation(call.node)
