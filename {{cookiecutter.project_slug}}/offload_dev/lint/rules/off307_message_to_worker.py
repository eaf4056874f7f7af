"""OFF307: what a worker gets, or gives back, cannot be written as JSON."""

import ast
from collections.abc import Iterator
from typing import TypeGuard

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import PUBLISH, REQUEST
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope
from offload_dev.lint.tasks.canvas import SIGNS, task_of

RESPONSES = Patterns(
    "{requests,httpx}.{get,post,put,patch,delete,head,request}",
    "{requests,httpx}.*{Session,Client}.{get,post,put,patch,delete,head,request}",
)
OF_REQUEST = {REQUEST, f"{REQUEST}.user", f"{REQUEST}.FILES", f"{REQUEST}.FILES.get"}
NEVER_JSON = (ast.Set, ast.SetComp, ast.GeneratorExp, ast.Lambda)
IGNORES = "task_ignore_result"
WITHOUT_RESULTS = "right without a result backend"
BY_PICKLE = "with pickle, the worker gets the row as it was when it was sent"


@rule(
    "OFF307",
    message="goes to or comes from a worker, but JSON cannot write it",
    instead="the key of the row, which the worker fetches; plain values",
    target=Target.FUNCTION,
)
def message_to_worker(function: Function) -> Iterator[Violation]:
    """Finds rows, querysets and requests in the message of a task, and rows that a task returns.

    So are files of a request, sets and generators in a message, also by a signature such as
    `task.s(row)`, and responses of HTTP clients that a task returns.

    Celery writes arguments and results as JSON. With the serializer `pickle` the call works, but
    the worker has a row that is as old as the message.
    """
    likely = BY_PICKLE if function.resolver.settings.uses_pickle else ""
    for call, method, holder in _published(function):
        if method in PUBLISH | SIGNS and task_of(holder, function.resolver) is not None:
            for given in _given(call, method):
                # Pickle writes the rest as it is: a queryset with its values, and a set.
                if _is_row(given, function):
                    yield violation(given, likely=likely)
                elif likely:
                    continue
                elif isinstance(given, NEVER_JSON):
                    yield violation(given, instead="a list, or the name of the work")
                elif _is_of_request(given, function):
                    yield violation(given)
    celery = function.resolver.celery
    if function.is_task and _keeps_result(function.scope) and not celery.is_true(IGNORES):
        likely = likely or ("" if celery.values("result_backend") else WITHOUT_RESULTS)
        for node in own_nodes(function.scope.node):
            if isinstance(node, ast.Return) and _is_never_json(node.value, function):
                value = node.value.func if isinstance(node.value, ast.Call) else node.value
                brackets = "()" if value is not node.value else ""
                subject = f"`{snippet(value)}{brackets}`, which the task returns,"
                yield violation(node, subject, likely=likely)


def _published(function: Function) -> Iterator[tuple[ast.Call, str, str]]:
    """The calls, also those of `on_commit(lambda: task.delay(row))`: the method, and of what."""
    yield from ((call.node, call.method, call.holder) for call in function.calls)
    has_lambdas = function.scope.module.has("lambda")
    for node in own_nodes(function.scope.node) if has_lambdas else ():
        match node:
            case ast.Lambda(body=ast.Call(func=ast.Attribute(value=task, attr=method)) as call) if (
                method in PUBLISH | SIGNS
            ):
                yield call, method, function.origin_of(task)


def _given(call: ast.Call, method: str) -> Iterator[ast.expr]:
    """The values in a message: those of `delay(…)`, and `args` and `kwargs` of `apply_async`."""
    if method.startswith("delay") or method in ("s", "si"):
        yield from (*call.args, *(each.value for each in call.keywords))
        return
    named = {each.arg: each.value for each in call.keywords}
    for given in (*call.args[:2], named.get("args"), named.get("kwargs")):
        match given:
            case ast.Tuple(elts=values) | ast.List(elts=values) | ast.Dict(values=values):
                yield from values


def _is_row(given: ast.expr, function: Function) -> bool:
    """Whether a value is a row: a variable, a relation of a row, or what a call returns."""
    if any(row is given for _, row in function.fresh_arguments):
        return True
    if not isinstance(given, ast.Name | ast.Attribute | ast.Call):
        return False
    origin = function.given.get(given) or function.origin_of(given)
    return function.resolver.models.is_model(origin)


def _is_of_request(given: ast.expr, function: Function) -> bool:
    """Whether a value is a request, its user, or a file that came with it; or a queryset."""
    origin = function.given.get(given) or function.origin_of(given)
    return origin in OF_REQUEST or function.resolver.queries.is_query(origin)


def _is_never_json(value: ast.expr | None, function: Function) -> TypeGuard[ast.expr]:
    """Whether a task returns a row, a queryset, or the response of an HTTP client."""
    if not isinstance(value, ast.Name | ast.Call):
        return False
    made = function.calls_by_node.get(value)
    if made is not None and RESPONSES.matches(made.origin):
        return True
    origin = function.origin_of(value)
    resolver = function.resolver
    return resolver.models.is_model(origin) or resolver.queries.is_query(origin)


def _keeps_result(scope: CodeScope) -> bool:
    return "ignore_result=True" not in ast.unparse(scope.node).replace(" ", "").partition("def")[0]
