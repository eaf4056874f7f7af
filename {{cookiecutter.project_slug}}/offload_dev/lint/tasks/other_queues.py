"""Tasks of queues other than Celery: how they are published, and with which call."""

import ast
from collections.abc import Iterator

from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.source.patterns import Patterns

# Calling the function publishes it. `on_commit_task` of Huey waits for the commit by itself.
BY_CALL = Patterns("huey.contrib.djhuey.{task,db_task}", "huey.*Huey.task")
# A method of the function publishes it.
BY_METHOD = Patterns("dramatiq.actor", "rq.decorators.job", "spinach.*.task")
METHODS = {"send", "send_with_options", "delay", "schedule"}


def is_published_by_call(origin: str, function: Function) -> bool:
    """Whether a call of this origin does not run a task, but publishes it."""
    task = function.resolver.function(origin)
    return task is not None and any(
        BY_CALL.matches(each) for each, _ in function.resolver.decorators.of(task)
    )


def published(function: Function) -> Iterator[CallSite]:
    """The calls that publish a task of Huey, dramatiq, RQ or spinach."""
    for call in function.calls_not_awaited:
        if is_published_by_call(call.origin, function):
            yield call
        elif isinstance(call.node.func, ast.Attribute) and call.node.func.attr in METHODS:
            held = function.resolver.function(call.holder)
            decorators = function.resolver.decorators.of(held) if held is not None else []
            names = BY_CALL if call.node.func.attr == "schedule" else BY_METHOD
            if any(names.matches(origin) for origin, _ in decorators):
                yield call
