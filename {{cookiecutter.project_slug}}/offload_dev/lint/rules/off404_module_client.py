"""OFF404: an async client is kept at module level."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

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
    for call in body.calls:
        if NEEDS_LOOP.matches(call.origin):
            yield call_violation(call.node)
        elif ASYNC_CLIENTS.matches(call.origin):
            yield call_violation(call.node, likely=LIKELY)
