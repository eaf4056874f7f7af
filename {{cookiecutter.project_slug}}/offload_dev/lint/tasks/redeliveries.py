"""Messages that Redis or SQS delivers again while their task waits or runs."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.source.durations import seconds
from offload_dev.lint.source.nodes import own_nodes
from offload_dev.lint.source.tree import CodeScope, Module
from offload_dev.lint.tasks.task_limits import TaskLimits

LIMIT_ADVICE = "a `visibility_timeout` above it, or early acknowledgement"
PLANNED = re.compile(r"\b(?:countdown|eta)=")
RETRY_DELAY = "default_retry_delay"
# They say when a task is to run: of a task, of its signature, and of the next attempt.
PLANS = {"apply_async", "retry", "set", "signature", "subtask"}
DELAY_ADVICE = "a `visibility_timeout` above it, or a row with its time and a periodic task"


def of_task(
    decorator: ast.Call, limits: TaskLimits, settings: CelerySettings
) -> Iterator[Violation]:
    """A task whose message is delivered again. Two cases:

    1. It may run longer than its message stays hidden, and is acknowledged late.
    2. It waits longer than that until it is tried again.
    """
    hidden = settings.visibility_timeout
    if limits.has_own and limits.acks_late and limits.hard > hidden > 0:
        subject = f"`time_limit={limits.hard}`, with a visibility timeout of {hidden},"
        yield violation(decorator, subject, instead=LIMIT_ADVICE)
    if limits.retry_delay > hidden > 0:
        subject = f"`{RETRY_DELAY}={limits.retry_delay}`, with a visibility timeout of {hidden},"
        yield violation(decorator, subject, instead=DELAY_ADVICE)


def of_all_tasks(module: Module, settings: CelerySettings) -> Iterator[Violation]:
    """Finds a time limit of all tasks above the visibility timeout, at the line of the limit."""
    hidden, limit = settings.visibility_timeout, settings.seconds("task_time_limit")
    if not (limit > hidden > 0 and settings.is_true("task_acks_late")):
        return
    for given in settings.values("task_time_limit"):
        if given.scope is module:
            subject = f"the time limit {limit}, with a visibility timeout of {hidden},"
            yield violation(given.value, subject, instead=LIMIT_ADVICE)


def of_delays(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The calls that plan a task for later. Two cases:

    1. `task.apply_async(countdown=86400)`: a worker holds the message until then.
    2. `task.apply_async(countdown=600, expires=60)`: the message expires before its time.
    """
    if PLANNED.search(module.text) is None:
        return
    inside = (scope for scope in resolver.project.functions if scope.module is module)
    for scope in (module, *inside):
        for node in own_nodes(scope.node):
            match node:
                case ast.Call(func=ast.Attribute(attr=name)) if name in PLANS:
                    yield from _of_delay(node, scope, resolver)


def _of_delay(call: ast.Call, scope: CodeScope, resolver: Resolver) -> Iterator[Violation]:
    hidden = resolver.celery.visibility_timeout
    given = {each.arg: seconds(each.value, scope, resolver) for each in call.keywords}
    expires = given.get("expires", 0)
    for name in ("countdown", "eta"):
        delay = given.get(name, 0)
        if delay > hidden > 0:
            subject = f"`{name}`, of {delay} seconds, with a visibility timeout of {hidden},"
            yield violation(call, subject, instead=DELAY_ADVICE)
        elif delay >= expires > 0:
            subject = f"`expires`, of {expires} seconds, with a `{name}` of {delay},"
            yield violation(call, subject, instead=f"an `expires` above the `{name}`")
