"""OFF301: a task is published to the broker on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.names import PUBLISH
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import async_name, snippet
from offload_dev.lint.tasks.canvas import CANVAS, messages, publishes
from offload_dev.lint.tasks.other_queues import published

OF_DJANGO = Patterns("{django.tasks,django_tasks}.{,base.}task")


@rule(
    "OFF301",
    message="publishes to the broker on the event loop",
    instead="`await submit(job, params, owner=…)`",
    target=Target.THREAD,
)
def publishing(function: Function) -> Iterator[Violation]:
    """Finds `.delay()`, `.apply_async()`, `.send_task()`, and calls of a group, chain or chord.

    Also the calls of other queues: Huey, dramatiq, RQ and spinach. They call the broker over a
    socket. With a frozen broker that never ends. It is a warning if the object is not known to be a
    task. `.enqueue()` of Django's own tasks writes a row, or runs the task at once.
    """
    resolver = function.resolver
    of_others = list(published(function))
    yield from (call_violation(call.node) for call in of_others)
    for call in function.calls_not_awaited:
        if CANVAS.matches(call.origin) and publishes(call, function):
            yield call_violation(call.node)
        if not isinstance(call.node.func, ast.Attribute) or call in of_others:
            continue
        if call.method == "enqueue" and _is_of_django(call, resolver):
            yield call_violation(call.node, instead=f"`await {async_name(call.node.func)}(…)`")
        if call.node.func.attr in PUBLISH and not resolver.function(call.origin):
            is_known = bool(messages(call, function)) or call.origin.startswith("celery.")
            likely = "" if is_known else f"publishes if `{snippet(call.node.func.value)}` is a task"
            yield call_violation(call.node, likely=likely)


def _is_of_django(call: CallSite, resolver: Resolver) -> bool:
    """Whether a call submits a task of Django: `@task` of `django.tasks` decorates its function."""
    task = resolver.function(call.holder)
    decorators = resolver.decorators.of(task) if task is not None else []
    return any(OF_DJANGO.matches(origin) for origin, _ in decorators)
