"""OFF403: a client is created for one request."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

# An Upstream takes their place. Other clients speak a protocol of their own.
HTTP_CLIENTS = {"httpx", "aiohttp", "requests", "urllib3"}
ONE_CLIENT = "one client for the process, which the lifespan opens"


@rule(
    "OFF403",
    message="creates a client for one request",
    instead="an `Upstream`, which the lifespan opens",
    target=Target.THREAD,
    once_is_right=True,
)
def client_per_request(function: Function) -> Iterator[Violation]:
    """Finds HTTP clients that are created in a function.

    Creating one blocks the event loop for about 37 ms, which is the TLS context, and throws away
    the open connections that make calls cheap.
    """
    for call in function.calls:
        library = function.resolver.libraries.find("clients", call.origin)
        if library and not _is_kept(call.node, function):
            advice = "" if library.name in HTTP_CLIENTS else ONE_CLIENT
            yield call_violation(call.node, instead=advice)


def _is_kept(client: ast.Call, function: Function) -> bool:
    """Whether a client outlives the function: as an attribute, or as a context manager's value."""
    if any(origin == "contextlib.asynccontextmanager" for origin, _ in function.decorators):
        return True
    return any(
        isinstance(target, ast.Attribute)
        for node in ast.walk(function.scope.node)
        if isinstance(node, ast.Assign) and node.value is client
        for target in node.targets
    )
