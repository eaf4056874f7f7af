"""OFF101: a query runs on the event loop."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.cached_rows import first_evaluations
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.unknown_rows import manager_of_unknown_row
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function
from offload_dev.lint.functions.schemas import relations_read
from offload_dev.lint.functions.serializers import looked_up
from offload_dev.lint.source.arguments import is_cleared
from offload_dev.lint.source.names import MAY_QUERY, ORM, REQUEST
from offload_dev.lint.source.nodes import assigned
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import async_name, snippet

QUERIES = Patterns(
    "django.shortcuts.{get_object_or_404,get_list_or_404}",
    "django.contrib.auth.{authenticate,login,logout,get_user,update_session_auth_hash}",
    "django.db.{connection,connections}.cursor{,.execute*,.callproc,.fetch*,.copy*}",
)

PAGES = Patterns("django.core.paginator.Paginator.{page,get_page}")
VALIDATING = {"is_valid", "errors", "full_clean"}
LISTS = (ast.List, ast.ListComp, ast.Tuple)

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
    for found in first_evaluations(function):
        if found.origin != f"{REQUEST}.session":
            rows = snippet(found.node)
            advice = f"`async for` over `{rows}`, as in `[row async for row in {rows}]`"
            yield violation(found.node, likely=found.likely, instead=advice)

    resolver = function.resolver
    if function.scope.on_loop and resolver.decorators.is_typed_endpoint(function.scope):
        yield from _by_response(function)
    for call in function.calls_not_awaited:
        is_query = call.method in ORM["evaluating"] and resolver.queries.is_query(call.holder)
        is_on_row = _is_of_rows(call.method) and resolver.models.is_model(call.holder)
        name = function.maybe_prefetched.get(call.node, "")
        if name and resolver.facts.prefetches(name):
            continue
        if is_query or is_on_row or QUERIES.matches(call.origin):
            yield call_violation(call.node, likely=_likely(call, function), instead=_advice(call))
        elif likely := _may_query(call, function):
            is_on_manager = call.method in ORM["evaluating"]
            advice = _advice(call) if is_on_manager else _in_thread(call)
            yield call_violation(call.node, likely=likely, instead=advice)


def _is_of_rows(method: str) -> bool:
    """Whether a method of a row queries: `save`, `full_clean`, `get_next_by_created`."""
    return method in ORM["on_rows"] or _has_no_async_name(method)


def _has_no_async_name(method: str) -> bool:
    """Whether Django has no a-variant of a method that queries."""
    in_thread = method in ORM["on_rows_in_thread"] or method in HASHING
    return in_thread or method.startswith(("get_next_by_", "get_previous_by_"))


def _by_response(function: Function) -> Iterator[Violation]:
    """The relations that the response type reads of each row, on the event loop."""
    resolver = function.resolver
    for node, name, is_many in relations_read(function.scope, resolver):
        if not resolver.facts.fetches(name):
            method = "prefetch_related" if is_many else "select_related"
            subject = f"`{snippet(node)}`, which reads `{name}`,"
            likely = f"queries unless the rows come with `{name}`"
            advice = f'`{method}("{name}")` in the query'
            yield violation(node, subject, likely=likely, instead=advice)


def _may_query(call: CallSite, function: Function) -> str:
    """Under which condition a call queries whose object or class does not say it. Five cases:

    1. A method of a framework's class, which asks permission classes, reads a page or saves a row.
    2. A method that caches its answer, such as `ContentType.objects.get_for_model`.
    3. The permissions of a user, which are read once for each row.
    4. `is_valid()` of a serializer or of a form whose fields look up rows; also `form.errors`.
    5. The manager of a row of an unknown model.
    """
    resolver = function.resolver
    if resolver.function(call.origin) is not None or _only_reads_memory(call, function):
        return ""
    if any(map(MAY_QUERY.matches, (call.origin, *resolver.inherited(call.origin)))):
        return "queries in most classes: it asks permissions, reads a page, or saves"
    if call.method in ORM["cached"] and (
        resolver.queries.is_query(call.holder) or resolver.models.is_model(call.holder)
    ):
        return "queries unless the answer was cached before"
    if call.method in ORM["of_users"] and resolver.models.is_model(call.holder):
        return "queries unless the permissions of this row were read before"
    if call.method in VALIDATING and (names := list(looked_up(call.holder, resolver))):
        return f"queries if the data has `{names[0]}`"
    manager = manager_of_unknown_row(call, function)
    return f"queries if `{manager}` is the manager of a row" if manager else ""


def _only_reads_memory(call: CallSite, function: Function) -> bool:
    """Whether a call that queries mostly does not: `form.save(commit=False)`, a page of a list."""
    if is_cleared(call.node, "commit"):
        return True
    if not PAGES.matches(call.origin) or not isinstance(call.node.func, ast.Attribute):
        return False
    match assigned(call.node.func.value, function.scope.node):
        case ast.Call(args=[paged, *_]):
            return isinstance(assigned(paged, function.scope.node), LISTS)
    return False


def _likely(call: CallSite, function: Function) -> str:
    """Why a query may not be one: other lines may have fetched the rows."""
    name = function.maybe_prefetched.get(call.node, "")
    return f"queries unless `prefetch_related` has fetched `{name}`" if name else ""


def _advice(call: CallSite) -> str:
    """The one line that does the same, and waits for it."""
    if call.origin in IN_THREAD or _has_no_async_name(call.method):
        return _in_thread(call)
    if ".cursor" in call.origin:
        return "one sync function with the cursor, called through `sync_to_async`"
    return f"`await {async_name(call.node.func)}(…)`"


def _in_thread(call: CallSite) -> str:
    return f"`await sync_to_async({snippet(call.node.func)})(…)`"
