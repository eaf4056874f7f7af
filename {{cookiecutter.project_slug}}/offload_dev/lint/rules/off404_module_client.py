"""OFF404: an async client is kept at module level."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.patterns import Patterns

# aiohttp asks for the running loop when a session is created, and no loop runs during an import.
NEEDS_LOOP = Patterns("aiohttp.ClientSession")
ASYNC_CLIENTS = Patterns("{httpx,httpx2}.AsyncClient")
LIKELY = "right as long as a single event loop uses it, which tests and `async_to_sync` change"


@rule(
    "OFF404",
    message="keeps an async client at module level",
    instead="an `Upstream`, which the lifespan opens",
    target=Target.MODULE_BODY,
)
def module_client(body: Function) -> Iterator[Violation]:
    """Finds async clients that a module creates when it is imported.

    A client belongs to the event loop that used it first. The next loop, as in tests, gets
    `RuntimeError: Event loop is closed`.
    """
    made = [(call.node, call.origin) for call in body.calls]
    for call, origin in (*made, *_in_classes(body)):
        if NEEDS_LOOP.matches(origin):
            yield call_violation(call)
        elif ASYNC_CLIENTS.matches(origin):
            yield call_violation(call, likely=LIKELY)


def _in_classes(body: Function) -> Iterator[tuple[ast.Call, str]]:
    """What the bodies of the module's classes create, which also happens during the import."""
    scopes = body.resolver.project.scopes
    named = (scopes.get(name) for name in body.scope.names.values() if isinstance(name, str))
    for scope in named:
        if (
            scope is None
            or not isinstance(scope.node, ast.ClassDef)
            or scope.parent is not body.scope
        ):
            continue
        for value in scope.names.values():
            if isinstance(value, ast.Call):
                yield value, body.resolver.origin(value.func, scope)
