"""OFF101: a query runs on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import Function
from offload_dev.lint.names import ORM
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.resolver import REQUEST
from offload_dev.lint.violations import Violation, call_violation, violation

QUERIES = Patterns(
    "django.shortcuts.{get_object_or_404,get_list_or_404}",
    "django.contrib.auth.{authenticate,login,logout,get_user}",
    "django.db.{connection,connections}.cursor*",
)


@rule(
    "OFF101",
    message="queries the database on the event loop",
    instead="await the a-method (`aget`, `acount`), read rows with `async for`, "
    "or call one sync function through `sync_to_async`",
    target=Target.THREAD,
)
def query_on_loop(function: Function) -> Iterator[Violation]:
    """Finds lines that run a query.

    Django refuses most of them on a running loop, with `SynchronousOnlyOperation`. The others stop
    every request of the process until the database answers.
    """
    for found in function.evaluated:
        if found.origin != f"{REQUEST}.session":
            yield violation(found.node, likely=found.likely)

    resolver = function.resolver
    for call in function.calls_not_awaited:
        is_query = call.method in ORM["evaluating"] and resolver.is_query(call.holder)
        is_on_row = call.method in ORM["on_rows"] and resolver.is_model(call.holder)
        if is_query or is_on_row or QUERIES.matches(call.origin):
            yield call_violation(call.node)
