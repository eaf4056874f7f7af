"""OFF306: a task is published before the transaction commits."""

from collections.abc import Iterator

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.transactions import writes_before
from offload_dev.lint.violations import Violation

# Further away a task is often about other rows than those that the transaction has written.
MAX_STEPS = 2
# A `save` publishes under a condition, as a rule.
CONDITIONAL = ".save"


@rule(
    "OFF306",
    message="publishes before the transaction commits",
    instead="`submit_sync` in the transaction, or `transaction.on_commit`",
    target=Target.CALL_GRAPH,
)
def publish_before_commit(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds tasks that are published inside of `transaction.atomic()`, after a line that writes.

    The worker is often faster than the commit, and looks for a row that is not there yet. In a
    transaction that only reads or locks, each row is there. A function that is called in the
    transaction may write and publish, too. What is further away was false in public projects.
    """
    for call, found in graph.publications.of_transactions(function):
        steps = found.chain[1:]
        is_conditional = any(step.scope.label.endswith(CONDITIONAL) for step in steps)
        if len(found.chain) > MAX_STEPS or is_conditional:
            continue
        called = [graph.functions[step.scope] for step in steps]
        if writes_before(call, function) or any(map(_writes, called)):
            yield found


def _writes(function: Function) -> bool:
    return any(writes_before(call, function) for call in function.calls)
