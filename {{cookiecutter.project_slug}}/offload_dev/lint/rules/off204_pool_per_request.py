"""OFF204: a pool of processes or threads is created for one request."""

from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks.kept import is_kept
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import PROCESS_POOLS, THREAD_POOLS

ONCE = "right if it is created once, and not for each request"
RARELY = "right if few requests come here"


@rule(
    "OFF204",
    message="creates a pool for one request",
    instead="a job; for calls that wait, one pool for the whole process",
    target=Target.CALL_GRAPH,
    once_is_right=True,
)
def pool_per_request(function: Function, _: CallGraph) -> Iterator[Violation]:
    """Finds pools that an async function creates, or a plain one on the way of a request.

    Nothing limits how many there are. The processes have no queue, no lease and no memory limit,
    and end with the web process. A pool of threads may be right, so it is a warning.
    """
    on_loop = function.scope.on_loop
    for call in function.calls:
        if PROCESS_POOLS.matches(call.origin):
            if on_loop or not is_kept(call.node, function):
                found = call_violation(call.node, likely="" if on_loop else RARELY)
                yield found._replace(near=not on_loop)
        elif THREAD_POOLS.matches(call.origin) and on_loop:
            yield call_violation(call.node, likely=ONCE)
