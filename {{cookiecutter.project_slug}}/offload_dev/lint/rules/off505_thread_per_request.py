"""OFF505: a thread is started for one request."""

from collections.abc import Iterator

from offload_dev.lint.checks.kept import is_joined, is_kept, is_once_for_object, is_once_for_process
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.arguments import is_set
from offload_dev.lint.source.patterns import Patterns

THREADS = Patterns("threading.{Thread,Timer}")
# Arguments with which such a client sends in the caller's own thread.
SWITCHED_OFF = ("sync_mode",)
ONE = "right if it is created once for the whole process"
ONE_OBJECT = "right if the object is created once for the whole process"
ONE_CLIENT = "one client for the process"


@rule(
    "OFF505",
    message="starts a thread for one request",
    instead="`asyncio.to_thread` for what waits, a job for what computes",
    target=Target.THREAD,
    once_is_right=True,
    in_sync_views=True,
)
def thread_per_request(function: Function) -> Iterator[Violation]:
    """Finds threads that a request starts. They have no limit and no deadline, and outlive it.

    A thread that its function waits for ends with it: on the event loop that is OFF105.

    Some clients start one when they are created, so each object that has such a client has one.
    """
    for call in function.calls_not_awaited:
        if THREADS.matches(call.origin):
            ends = is_kept(call.node, function) or is_joined(call.node, function)
            if not ends and not is_once_for_process(call.node, function):
                is_once = is_once_for_object(call.node, function)
                yield call_violation(call.node, likely=ONE_OBJECT if is_once else "")
            continue
        starts_thread = function.resolver.libraries.find("threads", call.origin) is not None
        if starts_thread and not is_set(call.node, *SWITCHED_OFF):
            yield call_violation(call.node, likely=ONE, instead=ONE_CLIENT)
