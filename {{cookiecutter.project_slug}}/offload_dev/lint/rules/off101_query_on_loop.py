"""OFF101: a query runs on the event loop."""

from collections.abc import Iterator

from offload_dev.lint.function import CallSite, Function
from offload_dev.lint.names import ORM
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.resolver import REQUEST
from offload_dev.lint.snippet import snippet
from offload_dev.lint.violations import Violation, call_violation, violation

QUERIES = Patterns(
    "django.shortcuts.{get_object_or_404,get_list_or_404}",
    "django.contrib.auth.{authenticate,login,logout,get_user}",
    "django.db.{connection,connections}.cursor*",
)

# Their a-variants hash the password on the event loop in Django 5.2.
IN_THREAD = {"django.contrib.auth.authenticate"}
HASHING = {"create_user", "create_superuser"}


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
            rows = snippet(found.node)
            advice = f"`async for` over `{rows}`, as in `[row async for row in {rows}]`"
            yield violation(found.node, likely=found.likely, instead=advice)

    resolver = function.resolver
    for call in function.calls_not_awaited:
        is_query = call.method in ORM["evaluating"] and resolver.is_query(call.holder)
        is_on_row = call.method in ORM["on_rows"] and resolver.is_model(call.holder)
        name = function.maybe_prefetched.get(call.node, "")
        if name and resolver.project.prefetches(name):
            continue
        if is_query or is_on_row or QUERIES.matches(call.origin):
            yield call_violation(call.node, likely=_likely(call, function), instead=_advice(call))


def _likely(call: CallSite, function: Function) -> str:
    """Why a query may not be one: other lines may have fetched the rows."""
    name = function.maybe_prefetched.get(call.node, "")
    return f"queries unless `prefetch_related` has fetched `{name}`" if name else ""


def _advice(call: CallSite) -> str:
    """The one line that does the same, and waits for it."""
    name = snippet(call.node.func)
    head, dot, method = name.rpartition(".")
    if call.origin in IN_THREAD or method in HASHING:
        return f"`await sync_to_async({name})(…)`"
    if ".cursor" in call.origin:
        return "one sync function with the cursor, called through `sync_to_async`"
    return f"`await {head}{dot}a{method}(…)`"
