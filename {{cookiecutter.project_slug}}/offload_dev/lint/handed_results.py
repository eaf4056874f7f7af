"""Calls that get what a function returns, but want the function; and the other way round."""

import ast
from collections.abc import Iterator

from offload_dev.lint.coroutine_values import returns_coroutine
from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import PUBLISH
from offload_dev.lint.other_queues import published
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.snippet import snippet
from offload_dev.lint.violations import Violation, violation

TO_SYNC = Patterns("asgiref.sync.{async_to_sync,AsyncToSync}")
# They want a coroutine. `anyio.run` wants the function.
WANT_COROUTINES = Patterns(
    "asyncio.{run,create_task,ensure_future,wait_for,shield,run_coroutine_threadsafe}",
    "asyncio.{get_running_loop,get_event_loop,new_event_loop}.{create_task,run_until_complete}",
)
ON_COMMIT = "django.db.transaction.on_commit"


def of_bridges(call: CallSite, function: Function) -> Iterator[Violation]:
    """`async_to_sync(send(1))`, and `asyncio.run(main)` without the brackets of a call."""
    if TO_SYNC.matches(call.origin):
        for given in call.node.args[:1]:
            made = function.calls_by_node.get(given)
            if made is not None and returns_coroutine(made, function):
                subject = f"{snippet(made.node.func)}() in {snippet(call.node.func)}()"
                advice = f"`{snippet(call.node.func)}({snippet(made.node.func)})(…)`"
                yield violation(call.node, subject, instead=advice)
    elif WANT_COROUTINES.matches(call.origin):
        resolver = function.resolver
        for given, origin in zip(call.node.args, call.arguments, strict=True):
            scope = resolver.function(origin)
            is_name = isinstance(given, ast.Name | ast.Attribute)
            if (
                is_name
                and scope is not None
                and scope.on_loop
                and not resolver.decorators.of(scope)
            ):
                subject = f"{snippet(given)} in {snippet(call.node.func)}()"
                yield violation(call.node, subject, instead=f"`{snippet(given)}(…)`, with brackets")


def of_commits(function: Function) -> Iterator[Violation]:
    """`on_commit(report.delay(1))`: it publishes at once, and after the commit calls a result."""
    gets = [call for call in function.calls if call.origin == ON_COMMIT and call.node.args]
    of_others = list(published(function)) if gets else []
    for call in gets:
        made = function.calls_by_node.get(call.node.args[0])
        if made is None:
            continue
        task = function.resolver.function(made.holder)
        is_sent = made.method in PUBLISH and function.resolver.decorators.is_task(task)
        if is_sent or made in of_others:
            subject = f"{snippet(made.node.func)}() in {snippet(call.node.func)}()"
            advice = f"`{snippet(call.node.func)}(lambda: {snippet(made.node.func)}(…))`"
            yield violation(made.node, subject, instead=advice)
