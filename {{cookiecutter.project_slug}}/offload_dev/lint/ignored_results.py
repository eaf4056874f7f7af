"""Reads of results that Celery does not store."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.local_types import assigned
from offload_dev.lint.names import CELERY_TASKS
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.resolver import Resolver
from offload_dev.lint.snippet import snippet
from offload_dev.lint.source import CodeScope, Def, Module, own_nodes
from offload_dev.lint.violations import Violation, violation

# What a result tells of its task.
READS = {"state", "status", "ready", "successful", "failed", "result", "get"}
MAY_READ = re.compile(rf"\.(?:{'|'.join(READS)})\b")
MAKES = re.compile(r"AsyncResult\(|\.(?:delay|apply_async)\(")
RESULTS = Patterns("celery.*AsyncResult")
# They name their task: `send.delay(1)`, `send.AsyncResult(task_id)`.
OF_TASK = {"delay", "apply_async", "AsyncResult"}
IGNORE = "ignore_result"
ADVICE = f"`{IGNORE}=False` of this task, or a row that has its state"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The lines that ask for the state of a task whose result is ignored. Two cases:

    1. The result of a task that is known, and that ignores it: `send.delay(1).ready()`.
    2. The result of any task, where the settings ignore all of them: `AsyncResult(key).state`.
    """
    if MAY_READ.search(module.text) is None:
        return
    is_maker = MAKES.search(module.text) is not None
    if not is_maker and not resolver.celery.ignores_results:
        return
    inside = (scope for scope in resolver.project.functions if scope.module is module)
    for scope in (module, *inside):
        for node in own_nodes(scope.node):
            is_read = isinstance(node, ast.Attribute) and node.attr in READS
            if is_read and _is_ignored(node.value, scope, resolver):
                subject = f"`{snippet(node)}`, of a task that stores no result,"
                yield violation(node, subject, instead=ADVICE)


def _is_ignored(result: ast.expr, scope: CodeScope, resolver: Resolver) -> bool:
    made = assigned(result, scope.node)
    local = resolver.locals(scope) if isinstance(scope.node, Def) else None
    match made:
        case ast.Call(func=ast.Attribute(value=named, attr=name)) if name in OF_TASK:
            task = resolver.function(resolver.origin(named, scope, local))
            if task is not None and resolver.decorators.is_task(task):
                return _ignores(task, made, resolver)
            if name != "AsyncResult":
                return False
    return resolver.celery.ignores_results and RESULTS.matches(
        resolver.origin(result, scope, local)
    )


def _ignores(task: CodeScope, call: ast.Call, resolver: Resolver) -> bool:
    """Whether a task drops its result: by the call, by its own option, or by the settings."""
    assert isinstance(task.node, Def)
    if "update_state(" in task.text_of_lines:
        return False
    options: dict[str | None, ast.expr] = {}
    for each in task.node.decorator_list:
        if isinstance(each, ast.Call) and CELERY_TASKS.matches(
            resolver.origin(each.func, task.parent or task)
        ):
            options |= {keyword.arg: keyword.value for keyword in each.keywords}
    options |= {each.arg: each.value for each in call.keywords}
    if IGNORE in options or None in options:
        return getattr(options.get(IGNORE), "value", None) is True
    return resolver.celery.ignores_results
