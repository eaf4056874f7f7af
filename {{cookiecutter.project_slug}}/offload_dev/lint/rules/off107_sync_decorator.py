"""OFF107: an async function is wrapped in a decorator for sync functions."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import TO_THREAD
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet
from offload_dev.lint.source.tree import CodeScope

SYNC_DECORATORS = Patterns(
    "django.views.decorators.cache.cache_page",
    "django.db.transaction.atomic",
    "functools.{cache,lru_cache}",
    "cachetools.{cached,cachedmethod}",
    "retry.{,api.}retry",
    "retrying.retry",
    "ratelimit.sleep_and_retry",
    "timeout_decorator.timeout",
    "func_timeout.func_set_timeout",
    # They call the view, and hand on the coroutine as if it were the response.
    "{django_ratelimit,ratelimit}.decorators.ratelimit",
    "waffle.decorators.{waffle_flag,waffle_switch}",
    "guardian.decorators.permission_required*",
    "csp.decorators.{csp,csp_exempt,csp_replace,csp_update}",
    "honeypot.decorators.*",
    "allauth.account.decorators.{verified_email_required,reauthentication_required}",
    "axes.decorators.axes_dispatch",
)
CACHED_PROPERTIES = Patterns("functools.cached_property", "django.utils.functional.cached_property")
ONCE = "right if it is awaited only once for each object"
METHOD_DECORATOR = "django.utils.decorators.method_decorator"
HANDLERS = {"get", "post", "put", "patch", "delete", "head", "options"}
LIKELY = "right if the wrapper works with the coroutine that it gets"
# A decorator that has one of these words handles async functions, too.
WORDS_OF_ASYNC_DECORATORS = (
    "iscoroutinefunction",
    "markcoroutinefunction",
    "isawaitable",
    "run_coroutine_threadsafe",
    "run_until_complete",
    "async_to_sync",
    "asyncio.run(",
)


@rule(
    "OFF107",
    message="wraps an async function, but is a decorator for sync functions",
    instead="a decorator whose wrapper is async",
    target=Target.ASYNC_FUNCTION,
)
def sync_decorator(function: Function) -> Iterator[Violation]:
    """Finds decorators that get a coroutine where they expect a result.

    `atomic` commits before the view begins, and `lru_cache` keeps a coroutine that can be awaited
    only once. The project's own decorators are found if their wrapper is a plain function; that may
    be right, so it is a warning.
    """
    for origin, name in (*function.decorators, *_by_method_decorator(function)):
        if SYNC_DECORATORS.matches(origin) or TO_THREAD.matches(origin):
            yield violation(function.scope.node, f"@{snippet(name)}")
        elif CACHED_PROPERTIES.matches(origin):
            yield violation(function.scope.node, f"@{snippet(name)}", likely=ONCE)

    # Only the lowest decorator gets the async function itself.
    for origin, name in function.decorators[-1:]:
        decorator = function.resolver.function(origin)
        if not function.is_generator and _has_sync_wrapper(
            decorator, is_view=function.takes_request
        ):
            yield violation(function.scope.node, f"@{snippet(name)}", likely=LIKELY)


def _by_method_decorator(function: Function) -> Iterator[tuple[str, ast.expr]]:
    """The decorators of `@method_decorator(cache_page(60), name="get")`, on a method or class."""
    owner, node = function.scope.owner, function.scope.node
    if owner is None or not isinstance(node, Def):
        return
    around = [*node.decorator_list, *getattr(owner.node, "decorator_list", [])]
    for each in around:
        if not isinstance(each, ast.Call) or not each.args:
            continue
        named = [k.value.value for k in each.keywords if isinstance(k.value, ast.Constant)]
        is_meant = (
            not named or node.name in named or (node.name in HANDLERS and "dispatch" in named)
        )
        resolver = function.resolver
        if is_meant and resolver.origin(each.func, owner.parent or owner) == METHOD_DECORATOR:
            given = each.args[0]
            name = given.func if isinstance(given, ast.Call) else given
            yield resolver.origin(name, owner.parent or owner), name


def _has_sync_wrapper(decorator: CodeScope | None, *, is_view: bool) -> bool:
    """Whether a decorator of this project returns a plain function where that is wrong.

    A wrapper that only hands on the coroutine is right, but not around a view: Django asks whether
    the view is a coroutine function.
    """
    if decorator is None or not isinstance(decorator.node, ast.FunctionDef):
        return False
    text = ast.unparse(decorator.node)
    if any(word in text for word in WORDS_OF_ASYNC_DECORATORS):
        return False

    inner = [node for node in all_nodes(decorator.node) if isinstance(node, Def)][1:]
    if any(isinstance(node, ast.AsyncFunctionDef) for node in inner):
        return False
    wrapped = {argument.arg for node in [decorator.node, *inner] for argument in node.args.args}
    if is_view:
        return any(call for node in inner for call in _calls(node, wrapped))
    return any(_works_around_call(node, wrapped) for node in inner)


def _calls(wrapper: ast.AST, wrapped: set[str]) -> Iterator[ast.Call]:
    """The calls of the function, except where another function gets the coroutine and runs it."""
    calls = [node for node in own_nodes(wrapper) if isinstance(node, ast.Call)]
    handed = {argument for call in calls for argument in call.args}
    for call in calls:
        is_called = isinstance(call.func, ast.Name) and call.func.id in wrapped
        if is_called and call not in handed:
            yield call


def _works_around_call(wrapper: ast.AST, wrapped: set[str]) -> bool:
    """Whether a wrapper does something with the result of the function, or after the call.

    A wrapper that ends with `return function(…)` hands on the coroutine, which is right.
    """
    handed_on = {
        node.value
        for node in own_nodes(wrapper)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call)
    }
    around = [node for node in own_nodes(wrapper) if isinstance(node, ast.With | ast.Try)]
    inside = {each for block in around for each in all_nodes(block)}
    return any(call not in handed_on or call in inside for call in _calls(wrapper, wrapped))
