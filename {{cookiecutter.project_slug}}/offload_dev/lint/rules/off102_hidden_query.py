"""OFF102: an attribute runs a query on the event loop."""

import ast
import itertools
from collections.abc import Iterable, Iterator

from offload_dev.lint.checks.cached_rows import first_reads, first_reads_of_self
from offload_dev.lint.checks.graphql_nodes import relations_of_node
from offload_dev.lint.checks.read_sessions import is_user_read_before
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.evaluations import MAY_KNOW
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.arguments import argument
from offload_dev.lint.source.names import ORM, REQUEST
from offload_dev.lint.source.nodes import Def, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope

USER = f"{REQUEST}.user"
OF_CLASSES = {"builtins.classmethod", "builtins.staticmethod"}
LOOK_INTO = {"builtins.isinstance", "builtins.str", "builtins.bool", "builtins.repr"}
# A row is followed through this many functions.
MAX_DEPTH = 3
HANDLERS = {"get", "post", "put", "patch", "delete", "head"}
FETCHED = "right if a decorator has fetched the user before"
# None of these sets `request.user`.
KNOWN_DECORATORS = Patterns(
    "{django,functools,asgiref,builtins,contextlib,typing,ninja*,adrf,channels,offload}.*",
    "{rest_framework,drf_spectacular,drf_yasg,tenacity,strawberry*,celery}.*",
)
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
    # Where a line gives `request.user` a value, reading it may run no query. Ninja's `django_auth`
    # has read it in a thread before the endpoint, and so may a middleware have.
    is_read = function.resolver.facts.sets_users or function.scope.module.has("django_auth")
    if function.users and not (is_read or is_user_read_before(function)):
        likely = FETCHED if _may_be_fetched(function) else ""
        for node in itertools.islice(_read_users(function), 1):
            yield violation(node, likely=likely, instead=_advice_for_user(node, function))
    for node, subject, many, likely in first_reads(function):
        advice = _advice_for_rows(node) if many else _advice(node)
        yield violation(node, subject, likely=likely, instead=advice)
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
        for node in first_reads_of_self(function):
            if not resolver.facts.fetches(node.attr):
                yield violation(node, likely=MAY_KNOW, instead=_advice(node))


def _read_by_called(call: ast.Call, row: ast.expr, function: Function) -> Iterator[Violation]:
    """The first relation of a row that the function reads which gets the row."""
    resolver = function.resolver
    called = resolver.function(function.calls_by_node[call].origin)
    found = _relation_read(called, call, row, function.given.get(row, ""), resolver)
    if found is not None:
        node, scope = found
        advice = f'`select_related("{node.attr}")` in the query, or `{snippet(node)}_id`'
        subject = f"`{snippet(node)}` in {scope.label}()"
        yield violation(call, subject, likely=MAY_KNOW, instead=advice)


def _relation_read(
    called: CodeScope | None,
    call: ast.Call,
    row: ast.expr,
    model: str,
    resolver: Resolver,
    depth: int = 0,
) -> tuple[ast.Attribute, CodeScope] | None:
    """The first relation of a row that a function reads, or a function that gets the row from it.

    None if the function assigns to the relation, or if it does nothing with it.
    """
    if called is None or not isinstance(called.node, Def) or depth > MAX_DEPTH:
        return None
    if any(origin not in OF_CLASSES for origin, _ in resolver.decorators.of(called)):
        return None
    given = (each.arg for each in (*called.node.args.args, *called.node.args.kwonlyargs))
    name = next((each for each in given if argument(each, called.node, call).value is row), "")
    for node in own_nodes(called.node):
        match node:
            case ast.Attribute(value=ast.Name(id=held), attr=attr) if held == name:
                if resolver.models.is_relation(model, attr):
                    return (node, called) if isinstance(node.ctx, ast.Load) else None
            case ast.Call(args=args, keywords=keywords):
                passed = [*args, *(each.value for each in keywords)]
                mine = next((each for each in passed if getattr(each, "id", "") == name), None)
                if name and mine is not None:
                    inner = resolver.function(
                        resolver.origin(node.func, called, resolver.locals(called))
                    )
                    found = _relation_read(inner, node, mine, model, resolver, depth + 1)
                    if found is not None:
                        return found
    return None


def _read_users(function: Function) -> Iterator[ast.expr]:
    """Where `request.user`, or a variable that holds it, is fetched.

    `request.user` alone does not fetch the user, so it may be handed to a thread.
    """
    users = set(function.users)
    for node in own_nodes(function.scope.node):
        for value in _looked_into(node, function):
            is_variable = isinstance(value, ast.Name) and function.origin_of(value) == USER
            if value in users or is_variable:
                yield value


def _may_be_fetched(function: Function) -> bool:
    """Whether a decorator of a library that nobody knows here may have fetched the user before."""
    own = {name.partition(".")[0] for name in function.resolver.project.modules}
    return any(
        origin and not KNOWN_DECORATORS.matches(origin) and origin.partition(".")[0] not in own
        for origin, _ in function.decorators
    )


def _looked_into(node: ast.AST, function: Function) -> Iterable[ast.expr]:
    """The values that a node has to know at once. Five cases:

    1. An attribute of it is read.
    2. It is written into a text, or it is a condition.
    3. It is compared; `is` compares no values.
    4. `isinstance` and the like ask for its class or its text.
    5. A query or a new row gets it. The a-methods look into it in a thread.
    """
    match node:
        case ast.Attribute(value=value) | ast.FormattedValue(value=value):
            return [value]
        case ast.If(test=value) | ast.IfExp(test=value) | ast.UnaryOp(op=ast.Not(), operand=value):
            return [value]
        case ast.Compare(ops=ops) if not any(isinstance(op, ast.Is | ast.IsNot) for op in ops):
            return [node.left, *node.comparators]
        case ast.Call() if call := function.calls_by_node.get(node):
            models = function.resolver.models
            if call.origin in LOOK_INTO:
                return node.args[:1]
            is_lazy = call.method in ORM["lazy"] and function.resolver.queries.is_query(call.holder)
            if is_lazy or models.is_model(call.origin):
                return [*node.args, *(each.value for each in node.keywords)]
    return []


def _mixin_that_reads_user(function: Function) -> str:
    """The mixin that reads `request.user` before an async handler runs; empty if none does."""
    owner = function.scope.owner
    is_handler = function.scope.on_loop and function.scope.bare_name in HANDLERS
    if owner is None or not is_handler:
        return ""
    classes = function.resolver.classes
    views = (owner, *classes.heirs(owner.dotted))
    lineage = (base for view in views for base in classes.lineage(view.dotted))
    return next(filter(MIXINS.matches, lineage), "")


def _advice_for_user(node: ast.expr, function: Function) -> str:
    """The API's middleware knows no sessions, and so no `auser()`: its callers have tokens."""
    request = snippet(node.value) if isinstance(node, ast.Attribute) else "request"
    module = function.scope.module.bare_name
    if module == "api" and function.resolver.project.of_standard:
        return f"`caller({request})`, the owner of the token"
    return f"`await {request}.auser()`"


def _advice(node: ast.Attribute) -> str:
    return f'`select_related("{node.attr}")` in the query, or `{snippet(node)}_id`'


def _advice_for_rows(node: ast.Attribute) -> str:
    return f'`prefetch_related("{node.attr}")` in the query'
