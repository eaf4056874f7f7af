"""OFF302: the result backend is read on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

READS = Patterns(
    "{celery.*AsyncResult,*.delay,*.apply_async}.{get,ready,successful,failed,wait}",
    "{celery.*AsyncResult,*.delay,*.apply_async}.{state,status,result}",
)


@rule(
    "OFF302",
    message="reads the result backend on the event loop",
    instead="the job's row, or its event stream",
    target=Target.THREAD,
)
def result_backend(function: Function) -> Iterator[Violation]:
    """Finds reads of an `AsyncResult`.

    Each one calls the result backend over a socket, and `.get()` waits until the task has ended.
    """
    for call in function.calls_to(READS):
        yield call_violation(call.node)
