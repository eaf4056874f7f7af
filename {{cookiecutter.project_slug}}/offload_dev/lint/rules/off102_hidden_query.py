"""OFF102: an attribute runs a query on the event loop."""

import ast
import itertools
from collections.abc import Iterator
from typing import TypeGuard

from offload_dev.lint.arguments import argument
from offload_dev.lint.function import Function
from offload_dev.lint.graphql_nodes import relations_of_node
from offload_dev.lint.patterns import Patterns
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.snippet import snippet
from offload_dev.lint.source import Def, own_nodes
from offload_dev.lint.violations import Violation, violation

HANDLERS = {"get", "post", "put", "patch", "delete", "head"}
MAY_KNOW = "right if this row got the related one before"
MIXINS = Patterns(
    "django.contrib.auth.mixins.{LoginRequiredMixin,PermissionRequiredMixin,UserPassesTestMixin}"
)


@rule(
    "OFF102",
    message="is an attribute that runs a query on the event loop",
    instead="`caller(request)` in the API, `await request.auser()` in a page, "
    "`select_related()`, or the `_id` column",
    target=Target.THREAD,
)
def hidden_query(function: Function) -> Iterator[Violation]:
    """Finds reads of `request.user`, and of foreign keys that were not fetched with their row.

    Both look like plain attributes, but run a query when they are read, and raise on the loop.
    """
    if mixin := _mixin_that_reads_user(function):
        subject = f"`request.user`, which {mixin.rpartition('.')[2]} reads,"
        advice = "`await request.auser()` in the handler"
        yield violation(function.scope.node, subject, instead=advice)
    read = {node.value for node in own_nodes(function.scope.node) if _reads(node)}
    # Where a line gives `request.user` a value, reading it may run no query. Ninja's `django_auth`
    # has read it in a thread before the endpoint.
    is_read = function.resolver.project.sets_users or "django_auth" in function.scope.module.text
    # The user is fetched when an attribute of it is read for the first time, and may be handed to a
    # thread.
    users = (node for node in function.users if node in read and not is_read)
    for node in itertools.islice(users, 1):
        yield violation(node, instead=_advice_for_user(node, function))
    for node in function.hidden_queries:
        yield violation(node, instead=_advice(node))
    yield from _of_own_row(function)
    for node in relations_of_node(function):
        yield violation(node, likely=MAY_KNOW, instead=_advice(node))
    for call, row in function.fresh_arguments:
        yield from _read_by_called(call, row, function)


@hidden_query.at_call
def hidden_in_method(function: Function, call: ast.Call, caller: Function) -> Iterator[Violation]:
    """Finds properties and methods that read a relation of a row that was fetched without it."""
    if call in caller.calls_on_rows:
        for node in function.relations_of_self:
            yield violation(node, instead=_advice(node))


def _of_own_row(function: Function) -> Iterator[Violation]:
    """The relations of its own row that an async method of a model or of a type of rows reads."""
    resolver, owner = function.resolver, function.scope.owner
    if function.scope.on_loop and owner is not None and resolver.models.is_model(owner.dotted):
        for node in function.relations_of_self:
            if not resolver.project.fetches(node.attr):
                yield violation(node, likely=MAY_KNOW, instead=_advice(node))


def _read_by_called(call: ast.Call, row: ast.expr, function: Function) -> Iterator[Violation]:
    """The first relation of a row that the function reads which gets the row."""
    resolver = function.resolver
    called = resolver.function(function.calls_by_node[call].origin)
    if called is None or not isinstance(called.node, Def) or resolver.decorators.of(called):
        return
    given = (each.arg for each in (*called.node.args.args, *called.node.args.kwonlyargs))
    name = next((each for each in given if argument(each, called.node, call).value is row), "")
    model = resolver.origin(row, function.scope, resolver.locals(function.scope))
    for node in own_nodes(called.node):
        if not isinstance(node, ast.Attribute) or getattr(node.value, "id", "") != name:
            continue
        if resolver.models.is_relation(model, node.attr):
            if isinstance(node.ctx, ast.Load):
                advice = f'`select_related("{node.attr}")` in the query, or `{snippet(node)}_id`'
                subject = f"`{snippet(node)}` in {called.label}()"
                yield violation(call, subject, likely=MAY_KNOW, instead=advice)
            return


def _reads(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a node reads an attribute. `request.user` alone does not yet fetch the user."""
    return isinstance(node, ast.Attribute)


def _mixin_that_reads_user(function: Function) -> str:
    """The mixin that reads `request.user` before an async handler runs; empty if none does."""
    owner = function.scope.owner
    is_handler = function.scope.on_loop and function.scope.label.rpartition(".")[2] in HANDLERS
    if owner is None or not is_handler:
        return ""
    classes = function.resolver.classes
    views = (owner, *classes.heirs(owner.dotted))
    lineage = (base for view in views for base in classes.lineage(view.dotted))
    return next(filter(MIXINS.matches, lineage), "")


def _advice_for_user(node: ast.expr, function: Function) -> str:
    """The API's middleware knows no sessions, and so no `auser()`: its callers have tokens."""
    request = snippet(node.value) if isinstance(node, ast.Attribute) else "request"
    module = function.scope.module.dotted.rpartition(".")[2]
    if module == "api" and function.resolver.project.of_standard:
        return f"`caller({request})`, the owner of the token"
    return f"`await {request}.auser()`"


def _advice(node: ast.Attribute) -> str:
    return f'`select_related("{node.attr}")` in the query, or `{snippet(node)}_id`'
