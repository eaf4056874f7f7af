"""OFF105: the event loop waits for another thread."""

import ast
import sys
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function, awaits
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet

LOCKS = Patterns(
    "{threading,multiprocessing,billiard}.{Lock,RLock,Condition,Semaphore,BoundedSemaphore}"
)
WAITS = Patterns(
    "threading.{Event.wait,Condition.wait*,Barrier.wait,Thread.join}",
    "queue.*Queue.{get,join}",
    "concurrent.futures.{*Executor.submit.result,Future.result,wait,as_completed}",
    "{multiprocessing,billiard}.{,get_context.}Process.join",
    "{multiprocessing,billiard}.{,queues.,get_context.}*Queue.{get,join}",
    "multiprocessing.Pipe.recv*",
    "{multiprocessing,billiard}.*.{apply_async,map_async,starmap_async}.{get,wait}",
    "{multiprocessing,billiard}.{,pool.,get_context.}{Pool,ThreadPool}.{map,starmap,apply,join}",
)
ACQUIRES = Patterns("threading.{Lock,RLock,Condition,Semaphore,BoundedSemaphore}.acquire")
# Its results are waited for where somebody reads them.
MAPS = Patterns("concurrent.futures.*Executor.map")

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
        if not (call.method == "get" and _returns_at_once(call.node)):
            yield call_violation(call.node)
    for call in function.calls_to(ACQUIRES):
        if not _returns_at_once(call.node) and _is_held_across_await(call, function):
            yield call_violation(call.node)
    for call in function.calls_to(MAPS):
        if call.node in function.iterated:
            yield call_violation(call.node)
    for call in function.calls_to(SHUTDOWN):
        if "wait" not in {keyword.arg for keyword in call.node.keywords} and not call.node.args:
            advice = "`await asyncio.to_thread(executor.shutdown)`"
            yield call_violation(call.node, instead=advice)


def _is_held_across_await(acquire: CallSite, function: Function) -> bool:
    """Whether an `await` stands between the line that takes a lock and the one that gives it."""
    taken = acquire.node.lineno
    releases = (
        call.node.lineno
        for call in function.calls
        if call.method == "release" and call.holder == acquire.holder and call.node.lineno > taken
    )
    end = min(releases, default=sys.maxsize)
    awaited = (each for each in own_nodes(function.scope.node) if isinstance(each, ast.Await))
    return any(taken < each.lineno < end for each in awaited)


def _returns_at_once(call: ast.Call) -> bool:
    """Whether this is only tried: `lock.acquire(blocking=False)`, `queue.get(block=False)`."""
    named = (each.value for each in call.keywords if each.arg in ("blocking", "block"))
    given = [*call.args[:1], *named]
    return any(isinstance(each, ast.Constant) and each.value is False for each in given)
