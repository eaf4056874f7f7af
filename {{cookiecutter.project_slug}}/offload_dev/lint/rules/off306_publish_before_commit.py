"""OFF306: a task is published before the transaction commits."""

import ast
from collections.abc import Iterator

from offload_dev.lint.calls.call_graph import ON_COMMIT, CallGraph
from offload_dev.lint.calls.saved_rows import names_saved_row
from offload_dev.lint.calls.transactions import names_row, writes_before
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope
from offload_dev.lint.tasks.canvas import messages
from offload_dev.lint.tasks.other_queues import published

# Further away a task is often about other rows than those that the transaction has written.
MAX_STEPS = 2
# A `save` publishes under a condition, as a rule.
CONDITIONAL = ".save"
BY_OTHERS = "right where nobody saves the row in a transaction"
BY_REQUEST = "right if no request comes here: `ATOMIC_REQUESTS` makes each one a transaction"
KEYS = {"id", "pk"}
ROW_WRITES = {"save", "create", "create_user", "get_or_create", "update_or_create", "bulk_create"}


@rule(
    "OFF306",
    message="publishes before the transaction commits",
    instead="`submit_sync` in the transaction, or `transaction.on_commit`",
    target=Target.CALL_GRAPH,
)
def publish_before_commit(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """Finds tasks that are published inside of `transaction.atomic()`, after a line that writes.

    The worker is often faster than the commit, and looks for a row that is not there yet. In a
    transaction that only reads or locks, each row is there. A function that is called in the
    transaction may write and publish, too. What is further away was false in public projects.

    A receiver of `post_save` and a `save` of a model run in the transaction of whoever saves the
    row, as Django's admin does. With `ATOMIC_REQUESTS`, each view runs in one. A task that reads no
    row, and one that gets only keys of related rows, finds there what it needs. Wrong is also
    `on_commit(report.delay(1))`, which publishes at once. A task whose code does not name the model
    of the row does not read it.
    """
    if graph.resolver.celery.is_eager:
        return
    yield from _of_commits(function)
    yield from _of_row(function, graph)
    for call, found in graph.publications.of_transactions(function):
        steps = found.chain[1:]
        is_conditional = any(step.scope.label.endswith(CONDITIONAL) for step in steps)
        if len(found.chain) > MAX_STEPS or is_conditional:
            continue
        called = [graph.functions[step.scope] for step in steps]
        is_written = writes_before(call, function) or any(map(_writes, called))
        if is_written and (not found.likely or _last_reads(found, function, graph)):
            yield found


def _of_commits(function: Function) -> Iterator[Violation]:
    """`on_commit(report.delay(1))`: it publishes at once, and after the commit calls a result."""
    gets = [call for call in function.calls if call.origin == ON_COMMIT and call.node.args]
    of_others = list(published(function)) if gets else []
    for call in gets:
        made = function.calls_by_node.get(call.node.args[0])
        if made is not None and (made in of_others or messages(made, function)):
            subject = f"{snippet(made.node.func)}() in {snippet(call.node.func)}()"
            advice = f"`{snippet(call.node.func)}(lambda: {snippet(made.node.func)}(…))`"
            yield violation(made.node, subject, instead=advice)


def _last_reads(found: Violation, function: Function, graph: CallGraph) -> bool:
    """Whether a task that a line, or the last step of its chain, publishes may read rows."""
    line = found.line
    if found.chain:
        function, line = graph.functions[found.chain[-1].scope], found.chain[-1].line
    calls = (call for call in function.calls if call.node.lineno == line)
    return any(_reads(each.task, graph) for call in calls for each in messages(call, function))


def _reads(task: CodeScope, graph: CallGraph) -> bool:
    """Whether a published task may read rows."""
    return task.on_loop or "OFF101" in graph.blocking.of_function(graph.functions[task])


def _names_related(call: ast.Call) -> bool:
    """Whether a task gets keys of related rows only, as in `task.delay(instance.author.pk)`."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    keys = [each for each in given if isinstance(each, ast.Attribute) and each.attr in KEYS]
    return bool(keys) and all(isinstance(each.value, ast.Attribute) for each in keys)


def _writes(function: Function) -> bool:
    return any(writes_before(call, function) for call in function.calls)


def _of_row(function: Function, graph: CallGraph) -> Iterator[Violation]:
    """The tasks about a row that its own `save`, a receiver or a view publishes with it."""
    resolver, scope = function.resolver, function.scope
    is_save = scope.label.endswith(CONDITIONAL) and scope.owner is not None
    is_save = is_save and resolver.models.is_model(scope.owner.dotted if scope.owner else "")
    if scope in graph.after_commit:
        return
    if is_save or scope in graph.of_saved_rows:
        likely = BY_OTHERS
    elif resolver.settings.has_atomic_requests and not (scope.on_loop or function.is_task):
        likely = BY_REQUEST
    else:
        return
    later = {call for call in function.calls if call.origin == ON_COMMIT}
    inside = {node for call in later for node in all_nodes(call.node)}
    for found in graph.publications.own(function):
        for call in (each for each in function.calls if each.node.lineno == found.line):
            if call.atomic or call.node in inside:
                continue
            sent = [m for m in messages(call, function) if names_row(m.call, function)]
            if likely is BY_OTHERS:
                is_wrong = any(
                    _reads(each.task, graph)
                    and not _names_related(each.call)
                    and names_saved_row(each.task, function, graph)
                    for each in sent
                )
            else:
                is_wrong = bool(sent) and writes_before(call, function, ROW_WRITES)
            if is_wrong:
                # A view alone runs in the transaction of its request.
                yield found._replace(likely=likely, near=likely is BY_REQUEST)
                break
