"""OFF204: a pool of processes or threads is created for one request."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import PROCESS_POOLS, THREAD_POOLS
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation


@rule(
    "OFF204",
    message="creates a pool for one request",
    instead="a job; for calls that wait, one pool for the whole process",
    target=Target.ASYNC_FUNCTION,
    once_is_right=True,
)
def pool_per_request(function: Function) -> Iterator[Violation]:
    """Finds pools that an async function creates.

    Nothing limits how many there are. The processes have no queue, no lease and no memory limit,
    and end with the web process. A pool of threads may be right, so it is a warning.
    """
    for call in function.calls:
        if PROCESS_POOLS.matches(call.origin):
            yield call_violation(call.node)
        elif THREAD_POOLS.matches(call.origin):
            yield call_violation(
                call.node, likely="right if it is created once, and not for each request"
            )
