"""OFF111: rows are locked outside of a transaction."""

import ast
from collections.abc import Iterator

from offload_dev.lint.call_graph import CallGraph
from offload_dev.lint.function import Function
from offload_dev.lint.locks import LOCK, locking_calls
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.snippet import snippet
from offload_dev.lint.source import own_nodes
from offload_dev.lint.violations import Violation, violation

BY_CALLER = "right if a caller that is not in this source holds a transaction"


@rule(
    "OFF111",
    message="locks rows outside of a transaction",
    instead="one sync function with `transaction.atomic()`, called through `sync_to_async`",
    target=Target.CALL_GRAPH,
)
def lock_without_transaction(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds `select_for_update()` where no transaction is open, which Django refuses.

    SQLite does not, so tests may pass. Async code has no transaction of its own, and so no lock
    either. A plain function counts if a view or a command comes to it, and no caller holds a
    transaction.
    """
    if function.scope.on_loop:
        for call in locking_calls(function):
            yield violation(call.node, f"`{snippet(call.node.func)}()`")
        for node in own_nodes(function.scope.node):
            if isinstance(node, ast.AsyncFor) and LOCK in function.origin_of(node.iter).split("."):
                yield violation(node.iter)
        return
    rows = (e.node for e in function.evaluated if LOCK in e.origin.split(".") and not e.atomic)
    calls = (call.node for call in locking_calls(function))
    nodes = [*rows, *calls]
    # Also a transaction under another name, such as `with cast(Any, transaction.atomic)()`.
    is_held = bool(nodes) and "atomic" in ast.unparse(function.scope.node)
    if nodes and not is_held and graph.is_run_without_transaction(function.scope):
        yield violation(nodes[0], likely=BY_CALLER)
