"""OFF306: a task is published before the transaction commits."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import PUBLISH
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

WRITES = {
    "save",
    "delete",
    "create",
    "update",
    "get_or_create",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "add",
    "set",
    "remove",
    "execute",
}


@rule(
    "OFF306",
    message="publishes before the transaction commits",
    instead="`submit_sync` in the transaction, or `transaction.on_commit`",
    target=Target.FUNCTION,
)
def publish_before_commit(function: Function) -> Iterator[Violation]:
    """Finds tasks that are published inside of `transaction.atomic()`, after a line that writes.

    The worker is often faster than the commit, and looks for a row that is not there yet. In a
    transaction that only reads or locks, each row is there.
    """
    resolver = function.resolver
    atomic = [call for call in function.calls if call.atomic]
    writes = [each.node.lineno for each in atomic if getattr(each.node.func, "attr", "") in WRITES]
    for call in atomic:
        has_written = any(line <= (call.node.end_lineno or 0) for line in writes)
        is_published = has_written and call.method in PUBLISH
        if is_published and resolver.is_task(resolver.function(call.holder)):
            yield call_violation(call.node)
