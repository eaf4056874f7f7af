"""OFF505: a thread is started for one request."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.kept import is_kept
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.violations import Violation, call_violation

THREADS = Patterns("threading.{Thread,Timer}")


@rule(
    "OFF505",
    message="starts a thread for one request",
    instead="`asyncio.to_thread` for what waits, a job for what computes",
    target=Target.THREAD,
    once_is_right=True,
)
def thread_per_request(function: Function) -> Iterator[Violation]:
    """Finds threads that a request starts. They have no limit and no deadline, and outlive it."""
    for call in function.calls_to(THREADS):
        if not is_kept(call.node, function):
            yield call_violation(call.node)
