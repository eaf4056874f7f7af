"""OFF112: a change of another run is lost."""

import ast
from collections.abc import Iterator
from itertools import islice

from offload_dev.lint.calls.call_graph import CallGraph
from offload_dev.lint.checks import lost_changes
from offload_dev.lint.checks.process_caches import is_default_in_process
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.settings.servers import worker_pools
from offload_dev.lint.source.names import TASK_CLASSES, TO_THREAD
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet

# Callers are followed through this many calls.
MAX_STEPS = 2
CELERY = Patterns("celery.*")
# The pools of Celery whose processes run one task at a time.
ONE_BY_ONE = {"prefork", "processes", "solo"}
UNTOUCHED = "right if nobody else writes this row while the task works"
ALONE = "right if only one run at a time comes here"


@rule(
    "OFF112",
    message="loses what another run changes in between",
    instead="one statement of the database or of the cache that reads and writes",
    severity="warning",
    target=Target.CALL_GRAPH,
)
def lost_change(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds values that a task or a coroutine reads, changes and writes. Four cases, all warnings:

    1. A field of a row that is computed from its old value, before `save()`.
    2. All fields of a row that a task saves after long work, while others change the row.
    3. A number in a cache: `cache.set(key, cache.get(key) + 1)`.
    4. A sign in a cache that is to keep others out: `if cache.get(key): return`, and then
       `cache.set(key, True)`.

    Workers run the same task at the same time, and so do requests at each `await`. Both read the
    old value. Nothing is said where a lock stands in the function, nor of a cache of the process
    that one run after the other uses.
    """
    if not lost_changes.WRITES.intersection(call.method for call in function.calls):
        return
    is_locked = lost_changes.ONE_AT_A_TIME.search(function.scope.text_of_lines) is not None
    if is_locked or not _runs_at_once(function, graph):
        return
    yield from _of_rows(function, graph)
    yield from _of_caches(function)


def _of_rows(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """The first line for each row that computes a field, and the first that saves all of them."""
    first: dict[str, ast.stmt] = {}
    for statement, row in lost_changes.changed_rows(function):
        first.setdefault(row, statement)
    for row, statement in first.items():
        advice = f"`F(…)` in an `update`, or `select_for_update()` in the transaction of `{row}`"
        yield violation(statement, f"`{snippet(statement)}`", likely=ALONE, instead=advice)
    long = [each.line for each in _waits(function, graph)] if function.is_task else []
    updated = _updated_by_others(function, graph) if long else set()
    for call in islice(lost_changes.old_rows(function, long, updated), 1):
        subject = f"`{snippet(call.node)}`, with all fields of a row that was read before,"
        advice = "`update_fields=[…]`, or `update` with the fields that changed"
        yield violation(call.node, subject, likely=UNTOUCHED, instead=advice)


def _of_caches(function: Function) -> Iterator[Violation]:
    for call, key in lost_changes.counters(function):
        if _meets_nobody(call, key, function):
            continue
        subject = f"`{snippet(call.node)}`, a sum with what `{key}` held,"
        yield violation(call.node, subject, likely=ALONE, instead="`incr` of the cache")
    for call, key in lost_changes.claims(function):
        if _meets_nobody(call, key, function):
            continue
        advice = f"`add({key}, …)` of the cache, which says whether it was the first"
        subject = f"`{snippet(call.node)}`, after a look whether it is there,"
        yield violation(call.node, subject, likely=ALONE, instead=advice)


def _meets_nobody(write: CallSite, key: str, function: Function) -> bool:
    """Whether no other run shares a cache of the process between a read and a write. Two cases:

    1. Each process of Celery runs one task at a time.
    2. A coroutine gives way to no other between the two lines.
    """
    if not is_default_in_process(write, function):
        return False
    if any(CELERY.matches(origin) for origin, _ in function.decorators):
        return worker_pools(function.resolver.project) <= ONE_BY_ONE
    return function.scope.on_loop and not lost_changes.gives_way(write, key, function)


def _updated_by_others(function: Function, graph: CallGraph) -> set[str]:
    """The models whose rows another function changes by a query, whatever row a task has read."""
    queries = function.resolver.queries
    return {
        queries.row(call.holder)
        for other in graph.functions.values()
        if other is not function and "update(" in other.scope.text_of_lines
        for call in other.calls
        if call.method in ("update", "aupdate")
    }


def _waits(task: Function, graph: CallGraph) -> Iterator[Violation]:
    """The lines of a task that wait for other services or programs, or compute."""
    for found in (*graph.blocking.own(task), *graph.blocking.through_calls(task)):
        if found.computes or found.rule == "OFF103":
            yield found


def _runs_at_once(function: Function, graph: CallGraph, steps: int = MAX_STEPS) -> bool:
    """Whether several runs of a function may overlap: a task, a coroutine, or what they call.

    Sync views overlap, too, but only this far is the standard's own ground.
    """
    scope, classes = function.scope, graph.resolver.classes
    if function.is_task or scope.on_loop:
        return True
    if scope.owner is not None and classes.is_a(scope.owner.dotted, TASK_CLASSES):
        return True
    if any(TO_THREAD.matches(origin) for origin, _ in function.decorators):
        return True
    callers = graph.callers.get(scope, []) if steps else []
    return any(
        _runs_at_once(graph.functions[caller], graph, steps - 1)
        for caller, call in callers
        if not call.atomic
    )
