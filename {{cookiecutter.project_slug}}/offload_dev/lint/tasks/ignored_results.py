"""Reads of results that Celery does not store."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import CELERY_TASKS
from offload_dev.lint.source.nodes import Def, assigned, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope, Module

# What a result tells of its task.
READS = {"state", "status", "ready", "successful", "failed", "result", "get"}
MAY_READ = re.compile(rf"\.(?:{'|'.join(READS)})\b")
MAKES = re.compile(r"AsyncResult\(|\.(?:delay|apply_async)\(")
RESULTS = Patterns("celery.*AsyncResult")
# They name their task: `send.delay(1)`, `send.AsyncResult(task_id)`.
OF_TASK = {"delay", "apply_async", "AsyncResult"}
IGNORE = "ignore_result"
ADVICE = f"`{IGNORE}=False` of this task, or a row that has its state"
BACKEND_ADVICE = "a `result_backend`, or a row that has its state"
BY_ENVIRONMENT = "right if the environment names one: `CELERY_RESULT_BACKEND`"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The lines that ask for the state of a task whose result nobody stores. Three cases:

    1. The result of a task that is known, and that ignores it: `send.delay(1).ready()`.
    2. The result of any task, where the settings ignore all of them: `AsyncResult(key).state`.
    3. The same without a result backend.
    """
    if MAY_READ.search(module.text) is None:
        return
    settings = resolver.celery
    is_maker = MAKES.search(module.text) is not None
    if not (is_maker or settings.ignores_results or settings.has_no_backend):
        return
    inside = (scope for scope in resolver.project.functions if scope.module is module)
    for scope in (module, *inside):
        for node in own_nodes(scope.node):
            if not isinstance(node, ast.Attribute) or node.attr not in READS:
                continue
            is_result, is_ignored = _read(node.value, scope, resolver)
            if is_ignored:
                subject = f"`{snippet(node)}`, of a task that stores no result,"
                yield violation(node, subject, instead=ADVICE)
            elif is_result and settings.has_no_backend:
                subject = f"`{snippet(node)}`, without a result backend,"
                yield violation(node, subject, likely=BY_ENVIRONMENT, instead=BACKEND_ADVICE)


def _read(result: ast.expr, scope: CodeScope, resolver: Resolver) -> tuple[bool, bool]:
    """Whether an expression is the result of a task, and whether this task ignores it."""
    made = assigned(result, scope.node)
    local = resolver.locals(scope) if isinstance(scope.node, Def) else None
    match made:
        case ast.Call(func=ast.Attribute(value=named, attr=name)) if name in OF_TASK:
            task = resolver.function(resolver.origin(named, scope, local))
            if task is not None and resolver.decorators.is_task(task):
                return True, _ignores(task, made, resolver)
            if name != "AsyncResult":
                return False, False
    is_result = RESULTS.matches(resolver.origin(result, scope, local))
    return is_result, is_result and resolver.celery.ignores_results


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
