"""OFF105: the event loop waits for another thread."""

import ast
from collections.abc import Iterator

from offload_dev.lint.function import Function, awaits
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.snippet import snippet
from offload_dev.lint.violations import Violation, call_violation, violation

LOCKS = Patterns("threading.{Lock,RLock,Condition,Semaphore,BoundedSemaphore}")
WAITS = Patterns(
    "threading.{Event.wait,Condition.wait*,Barrier.wait,Thread.join}",
    "queue.*Queue.{get,join}",
    "concurrent.futures.{*Executor.submit.result,Future.result,wait,as_completed}",
)

SHUTDOWN = Patterns("concurrent.futures.*Executor.shutdown")


@rule(
    "OFF105",
    message="waits for another thread on the event loop",
    instead="`asyncio.Lock`, `asyncio.Queue`, or `await loop.run_in_executor(…)`",
    target=Target.THREAD,
)
def thread_wait(function: Function) -> Iterator[Violation]:
    """Finds waits for other threads, and thread locks that are held across an `await`.

    Such a wait stops the thread, and so the event loop. A lock that is held across an `await` is a
    deadlock as soon as a second request wants it.
    """
    for block in function.blocks:
        is_sync = isinstance(block.node, ast.With)
        if is_sync and LOCKS.matches(block.origin) and awaits(block.node.body):
            yield violation(block.node, snippet(block.manager))
    for call in function.calls_to(WAITS):
        yield call_violation(call.node)
    for call in function.calls_to(SHUTDOWN):
        if "wait" not in {keyword.arg for keyword in call.node.keywords} and not call.node.args:
            advice = "`await asyncio.to_thread(executor.shutdown)`"
            yield call_violation(call.node, instead=advice)
