"""OFF306: a task is published before the transaction commits."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import PUBLISH
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF306",
    message="publishes before the transaction commits",
    instead="`submit_sync` in the transaction, or `transaction.on_commit`",
    target=Target.FUNCTION,
)
def publish_before_commit(function: Function) -> Iterator[Violation]:
    """Finds tasks that are published inside of `transaction.atomic()`.

    The worker is often faster than the commit, and looks for a row that is not there yet.
    """
    resolver = function.resolver
    for call in function.calls:
        is_published = call.atomic and call.method in PUBLISH
        if is_published and resolver.is_task(resolver.function(call.holder)):
            yield call_violation(call.node)
