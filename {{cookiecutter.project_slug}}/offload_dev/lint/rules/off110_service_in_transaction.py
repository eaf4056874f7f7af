"""OFF110: another service is called inside of a transaction."""

from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.calls.request_hooks import answers_request
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import ChainStep, Violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.settings.middleware import is_of_middleware

WITHOUT_TRANSACTION = "non_atomic_requests"
# What locks a row until the transaction ends, and hooks that save one.
LOCKS_ROW = {
    *("save", "create", "delete", "get_or_create", "update_or_create", "select_for_update"),
    *("bulk_create", "bulk_update"),
}
HOOKS_THAT_SAVE = {"form_valid", "perform_create", "perform_update", "perform_destroy"}
# Further away a condition stands on the way, as a rule.
MAX_STEPS = 4
BY_REQUEST = "right if few requests come here: `ATOMIC_REQUESTS` makes each one a transaction"


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
    out: somebody runs it, and waits. With `ATOMIC_REQUESTS`, each view is a transaction; of those
    only what saves or locks a row by itself is reported. What several calls of a function come to
    is said once.
    """
    if function.scope.module.has_own_loop:
        return
    lines, causes = set(), set()
    for _, found in graph.service_calls.of_transactions(function):
        lines.add(found.line)
        cause = found.chain[-1] if found.chain else ChainStep(function.scope, found.line, "")
        if cause not in causes:
            causes.add(cause)
            yield found
    if _is_one_transaction(function, graph) and _locks_row(function):
        reach = graph.service_calls
        for found in (*reach.own(function), *reach.through_calls(function)):
            if found.line not in lines and len(found.chain) <= MAX_STEPS:
                yield found._replace(likely=found.likely or BY_REQUEST)
                return


def _locks_row(function: Function) -> bool:
    """Whether a view saves a row or selects one for update, by itself or as a hook."""
    name = function.scope.bare_name
    return name in HOOKS_THAT_SAVE or any(
        getattr(call.node.func, "attr", "") in LOCKS_ROW for call in function.calls
    )


def _is_one_transaction(function: Function, graph: CallGraph) -> bool:
    """Whether `ATOMIC_REQUESTS` makes a transaction of all that a sync view does."""
    scope = function.scope
    if not graph.resolver.settings.has_atomic_requests or scope.on_loop:
        return False
    # A middleware runs around the transaction of the view.
    is_left_out = scope.module.has(WITHOUT_TRANSACTION) or is_of_middleware(scope)
    is_left_out |= "middleware" in scope.module.dotted
    return not is_left_out and answers_request(function, graph)
