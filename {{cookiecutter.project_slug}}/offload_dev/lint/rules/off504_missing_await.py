"""OFF504: a coroutine is never awaited."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks.coroutine_values import (
    generators_read,
    returns_coroutine,
    used_as_results,
)
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, call_violation, violation
from offload_dev.lint.functions.function import CallSite, Function, is_generator
from offload_dev.lint.source.nodes import assigned
from offload_dev.lint.source.patterns import Patterns
from offload_dev.lint.source.snippet import snippet

GATHER = Patterns("asyncio.gather")
WAIT = Patterns("asyncio.wait")
# They call a function, and do nothing with the coroutine that an async one returns.
CALL_AND_FORGET = Patterns(
    "asgiref.sync.sync_to_async",
    "channels.db.database_sync_to_async",
    "asyncio.to_thread",
    "concurrent.futures.*Executor.submit",
    "threading.{Thread,Timer}",
    "asyncio.*.{call_soon,call_soon_threadsafe,call_later,call_at,add_signal_handler}",
    "asyncio.*.run_in_executor",
    "asyncio.*{create_task,ensure_future}.add_done_callback",
    "atexit.register",
    "weakref.finalize",
    "signal.signal",
    "builtins.{filter,sorted,min,max}",
    "django.db.transaction.on_commit",
    "django.core.cache.cache.get_or_set",
    "apscheduler.schedulers.{background,blocking}.*Scheduler.add_job",
    "schedule.*.do",
)
# The function that they call is their second argument.
SECOND = {"call_later", "call_at", "run_in_executor", "add_signal_handler", "finalize", "signal"}
# By name: a thread's function, and what sorts.
NAMES_OF_CALLED = {"target", "key"}
# They get a coroutine, and refuse the function that makes one.
RUN_COROUTINES = Patterns(
    "asyncio.{create_task,ensure_future,gather,run,shield,wait_for,run_coroutine_threadsafe}",
    "asyncio.TaskGroup.create_task",
    "asyncio.*.{create_task,run_until_complete}",
)
# Methods that their framework calls without `await`, by the class that calls them.
PLAIN_METHODS = Patterns(
    "django.core.management.*Command.{handle,add_arguments}",
    "django.db.models.Model.{save,delete,clean,full_clean,get_absolute_url}",
    "django.forms.*Form.{clean,clean_*,save,is_valid}",
    "django.apps.AppConfig.ready",
    "django.contrib.admin.*Admin.{save_model,delete_model,get_queryset,has_*_permission}",
    "django.contrib.admin.*Admin.{save_related,save_formset,delete_queryset}",
    "django.contrib.admin.*Admin.{get_urls,changelist_view}",
    "django.contrib.auth.backends.*Backend.{authenticate,get_user,has_perm}",
    "django.contrib.{sitemaps.Sitemap,syndication.views.Feed}.{items,location,get_object}",
    "django.db.models.{,manager.}*Manager.get_queryset",
    "django.core.files.storage.*Storage.{_save,_open,save,delete,exists,url,size}",
    "django.template.{,base.}Node.render",
    "channels.generic.websocket.{,Json}WebsocketConsumer.{connect,disconnect,receive}",
    "channels.generic.websocket.JsonWebsocketConsumer.receive_json",
    "allauth.*Adapter.{save_user,populate_user,pre_social_login,is_open_for_signup,send_mail}",
    "import_export.resources.*Resource.{before,after}_{import,import_row}",
    "django.views.generic.*.{get_queryset,get_context_data,get_object,form_valid,form_invalid}",
    "django.contrib.auth.mixins.*.{test_func,has_permission}",
    "django.utils.deprecation.MiddlewareMixin.process_*",
    "rest_framework.*Permission.{has_permission,has_object_permission}",
    "rest_framework.{views.APIView,generics.*,viewsets.*,mixins.*}.{get,post,put,patch,delete}",
    "rest_framework.{generics.*,viewsets.*,mixins.*}.{list,retrieve,create,update,destroy}",
    "rest_framework.{generics.*,viewsets.*,mixins.*}.{get_queryset,get_object,perform_create}",
    "rest_framework.{generics.*,viewsets.*,mixins.*}.{perform_update,perform_destroy}",
    "rest_framework.{views.APIView,generics.*,viewsets.*}.{get_permissions,get_serializer_context}",
    "rest_framework.authentication.*Authentication.{authenticate,authenticate_credentials}",
    "rest_framework.throttling.*Throttle.{allow_request,get_cache_key}",
    "rest_framework.filters.*.filter_queryset",
    "rest_framework.*Serializer.{validate,validate_*,create,update,to_representation}",
    "threading.Thread.run",
    "celery.*Task.{run,before_start,after_return,on_failure,on_success,on_retry}",
)
PLAIN_DECORATORS = Patterns(
    "rest_framework.decorators.{api_view,action}",
    "django.template.{,library.}Library.{simple_tag,inclusion_tag,filter}",
    "django.contrib.admin.{,decorators.}{action,display}",
)
# These do not run what they decorate, so that it stays a coroutine function.
KEEPING_DECORATORS = Patterns(
    "django.*", "rest_framework.*", "drf_spectacular.*", "drf_yasg.*", "functools.*",
    "builtins.{staticmethod,classmethod}",
)  # fmt: skip
HTTP_METHODS = {"get", "post", "put", "patch", "delete"}
# Packages whose own classes await such methods.
AWAITING = ("adrf.", "djangochannelsrestframework.", "ninja_extra.", "aiodjango.")
UNDER_WSGI = "right where no async server runs this service"
MIDDLEWARE = "an async `__call__`, with `markcoroutinefunction(self)`"
BRIDGES = {"asgiref.sync.async_to_sync", "asgiref.sync.sync_to_async"}
GROUPS = (ast.List, ast.Set, ast.Tuple)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp)


@rule("OFF504", message="is never awaited", instead="await it", target=Target.FUNCTION)
def missing_await(function: Function) -> Iterator[Violation]:
    """Finds coroutines that never run. Eight cases:

    1. The coroutine is dropped.
    2. It is read like a result: a coroutine is always true, and has no attributes of a result.
    3. `asyncio.wait` gets coroutines and not tasks, which it refuses since Python 3.11; or
       `asyncio.gather` gets a list or a generator, and not its items.
    4. Something calls an async function like a plain one: `Thread(target=send)`.
    5. An async method takes the place of a plain one of a framework: `async def handle(self)`.
       So does an async function below a decorator such as `api_view` of REST framework.
    6. A plain loop reads an async generator.
    7. `asyncio.create_task(send)` gets the function, and not the coroutine `send()`.
    8. `async_to_sync(send(1))` gets the coroutine, and not the function.

    A plain middleware that says it is async gets a coroutine for a response; a warning.
    """
    for call in function.calls:
        is_dropped = call.dropped and not call.awaited
        if is_dropped and returns_coroutine(call, function):
            yield call_violation(call.node)
        elif WAIT.matches(call.origin):
            yield from _waited_for(call, function)
        elif GATHER.matches(call.origin):
            yield from _gathered_as_one(call, function)
        elif CALL_AND_FORGET.matches(call.origin):
            yield from _called_and_forgotten(call, function)
        if RUN_COROUTINES.matches(call.origin):
            yield from _not_called(call, function)
        elif call.origin in BRIDGES:
            yield from _called_too_early(call, function)
    for call in generators_read(function):
        yield call_violation(call.node, instead="`async for`")
    for call in used_as_results(function):
        yield call_violation(call.node)
    if response := _response_of_coroutine(function):
        yield violation(response, likely=UNDER_WSGI, instead=MIDDLEWARE)
    if base := _base_that_does_not_await(function):
        subject = f"async {function.scope.label}(), which {base} calls,"
        yield violation(function.scope.node, subject, instead="a plain method")


def _base_that_does_not_await(function: Function) -> str:
    """The class that calls an async method of this project without `await`; empty if none does."""
    owner, classes = function.scope.owner, function.resolver.classes
    lineage = classes.lineage(owner.dotted)[1:] if owner is not None else []
    if not function.scope.on_loop or any(base.startswith(AWAITING) for base in lineage):
        return ""
    origins = [origin for origin, _ in function.decorators]
    if decorator := next(filter(PLAIN_DECORATORS.matches, origins), ""):
        is_kept = all(map(KEEPING_DECORATORS.matches, origins))
        return decorator.rpartition(".")[2] if is_kept else ""
    if owner is None or function.decorators:
        return ""
    dispatch = classes.method(owner.dotted, "dispatch")
    if dispatch is not None:
        return ""
    name = function.scope.bare_name
    bases = [base for base in lineage if PLAIN_METHODS.matches(f"{base}.{name}")]
    texts = [module.text for module in function.resolver.project.files if bases]
    # A class of adrf awaits the permissions and the handlers of REST framework.
    is_of_adrf = bases[:1] and bases[0].startswith("rest_framework.") and _names(texts, "adrf")
    awaited = re.compile(rf"await [\w.()]+\.{name}\(")
    is_awaited = name not in HTTP_METHODS and any(awaited.search(text) for text in texts)
    if not bases or is_of_adrf or is_awaited:
        return ""
    return bases[0].rpartition(".")[2]


def _response_of_coroutine(function: Function) -> ast.Call | None:
    """`self.get_response(request)` of a middleware that says it is async, but has a plain method.

    Django then gives it an async view, which returns a coroutine.
    """
    owner = function.scope.owner
    if owner is None or function.scope.on_loop or not function.scope.label.endswith(".__call__"):
        return None
    capable = owner.names.get("async_capable")
    is_capable = isinstance(capable, ast.Constant) and capable.value is True
    has_bases = len(function.resolver.classes.lineage(owner.dotted)) > 1
    if not is_capable or has_bases or "coroutine" in ast.unparse(owner.node):
        return None
    for call in function.calls_not_awaited:
        if ast.unparse(call.node.func) == "self.get_response":
            return call.node
    return None


def _names(texts: list[str], package: str) -> bool:
    return any(f"from {package}" in text or f"import {package}" in text for text in texts)


def _waited_for(call: CallSite, function: Function) -> Iterator[Violation]:
    for made in _coroutines_in(call.node.args[:1], function):
        advice = f"`asyncio.create_task({snippet(made)})`, or a `TaskGroup`"
        yield call_violation(made, instead=advice)


def _gathered_as_one(call: CallSite, function: Function) -> Iterator[Violation]:
    if len(call.node.args) == 1:
        for made in _coroutines_in(call.node.args, function):
            yield call_violation(made, instead="`asyncio.gather(*…)`, with a star")


def _coroutines_in(arguments: list[ast.expr], function: Function) -> Iterator[ast.Call]:
    """The calls that make the coroutines of a list, a set or a comprehension."""
    for given in arguments:
        made = assigned(given, function.scope.node)
        items = made.elts if isinstance(made, GROUPS) else []
        items = [made.elt] if isinstance(made, COMPREHENSIONS) else items
        for item in items:
            call = function.calls_by_node.get(item)
            if call is not None and returns_coroutine(call, function):
                yield call.node


def _called_and_forgotten(call: CallSite, function: Function) -> Iterator[Violation]:
    place = 1 if call.method in SECOND else 0
    named = (each.value for each in call.node.keywords if each.arg in NAMES_OF_CALLED)
    for each in (*call.node.args[place : place + 1], *named):
        made = each.body if isinstance(each, ast.Lambda) else each
        made = made.func if isinstance(each, ast.Lambda) and isinstance(made, ast.Call) else made
        if _is_async(made, function):
            subject = f"{snippet(made)}() in {snippet(call.node.func)}()"
            advice = "`asyncio.create_task`, or a plain function"
            yield violation(call.node, subject, instead=advice)


def _not_called(call: CallSite, function: Function) -> Iterator[Violation]:
    """`asyncio.create_task(send)`, without the brackets that make the coroutine."""
    given = call.node.args if GATHER.matches(call.origin) else call.node.args[:1]
    for each in given:
        if isinstance(each, ast.Name | ast.Attribute) and _is_async(each, function):
            yield violation(each, f"{snippet(each)}", instead=f"`{snippet(each)}(…)`")


def _called_too_early(bridge: CallSite, function: Function) -> Iterator[Violation]:
    """`async_to_sync(send(1))`, which gets a coroutine instead of the function."""
    made = function.calls_by_node.get(bridge.node.args[0]) if bridge.node.args else None
    if made is not None and returns_coroutine(made, function):
        name = snippet(made.node.func)
        yield call_violation(made.node, instead=f"`{snippet(bridge.node.func)}({name})(…)`")


def _is_async(named: ast.expr, function: Function) -> bool:
    """Whether an expression names an async function of the project, without decorators."""
    if isinstance(named, ast.Call):
        return False
    resolver = function.resolver
    called = resolver.function(function.origin_of(named))
    if called is None or not called.on_loop or resolver.decorators.of(called):
        return False
    return not is_generator(called)
