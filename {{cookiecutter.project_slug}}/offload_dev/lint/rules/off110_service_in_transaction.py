"""OFF110: another service is called inside of a transaction."""

from collections.abc import Iterator

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import Function
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation


@rule(
    "OFF110",
    message="waits for another service inside of a transaction",
    instead="call the service before the transaction, and check in it that nothing has changed",
    target=Target.CALL_GRAPH,
    severity="warning",
)
def service_in_transaction(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds HTTP calls inside of `transaction.atomic()`, also in functions that are called in it.

    The transaction keeps its database connection, and the locks of the rows that it has written or
    selected for update, for as long as the service takes to answer. A management command is left
    out: somebody runs it, and waits.
    """
    if function.scope.module.has_own_loop:
        return
    for _, found in graph.service_calls.of_transactions(function):
        yield found
