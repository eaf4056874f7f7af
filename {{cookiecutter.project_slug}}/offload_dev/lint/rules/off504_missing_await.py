"""OFF504: a coroutine is never awaited."""

from collections.abc import Iterator

from offload_dev.lint.function import CallSite, Function, is_async_query
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.violations import Violation, call_violation


@rule("OFF504", message="is never awaited", instead="await it", target=Target.FUNCTION)
def missing_await(function: Function) -> Iterator[Violation]:
    """Finds calls of async functions whose coroutine is dropped, so the function never runs."""
    for call in function.calls:
        if call.dropped and not call.awaited and _returns_coroutine(call, function.resolver):
            yield call_violation(call.node)


def _returns_coroutine(call: CallSite, resolver: Resolver) -> bool:
    """Whether a call makes a coroutine. What a decorated function returns is not known."""
    if is_async_query(call, resolver):
        return True
    scope = resolver.function(call.origin)
    return scope is not None and scope.on_loop and not resolver.decorators(scope)
