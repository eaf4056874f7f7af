"""OFF404: an async client is kept at module level."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

ASYNC_CLIENTS = Patterns("httpx.AsyncClient", "httpx2.AsyncClient", "aiohttp.ClientSession")


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
        if ASYNC_CLIENTS.matches(call.origin):
            yield call_violation(call.node)
