"""OFF701: a setting does not do what is wanted."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint.checks import waiting_settings
from offload_dev.lint.checks.async_urls import async_views
from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.settings.settings_files import ATOMIC_REQUESTS
from offload_dev.lint.source.names import CELERY_TASKS
from offload_dev.lint.source.nodes import Def, all_nodes, own_nodes
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import CodeScope, Module
from offload_dev.lint.tasks import (
    cluster_settings,
    ignored_results,
    redeliveries,
    schedules,
    setting_names,
    swallowed_retries,
    task_hooks,
    task_options,
    task_routes,
    unlimited_tasks,
    worker_pools,
)
from offload_dev.lint.tasks.task_limits import TaskLimits

UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"
IN_BROWSER = "right if only the code around `sync_playwright` runs queries on its loop"
BROWSER = "sync_playwright"
IN_FUNCTION = "right if only the code around this line runs queries, on a loop of its own"
IN_WORKER, TASKS = "right if only a Celery worker imports this file", "tasks"
SETS_UP, SERVERS = "django.setup()", {"asgi", "wsgi"}
UNSAFE_SUBJECT = f"`{UNSAFE}`, which lets queries block the event loop,"
UNSAFE_ADVICE = "delete it, and await the queries that Django refuses then"
KEPT = "CONN_MAX_AGE"
KEPT_SUBJECT = f"`{KEPT}`, beside threads that come and go,"
KEPT_ADVICE = "`CONN_MAX_AGE = 0`, and a pool of connections"
# A file that somebody has put aside.
COPY = re.compile(r"_(backup|bak|copy|old)$")
SOFT_ADVICE = "a soft limit below the hard one"
HIDDEN_SUBJECT = "the `visibility_timeout` of the results, without one of the broker,"
HIDDEN_ADVICE = "`broker_transport_options`"
LONG_ENOUGH = "right if no task waits or runs longer than the broker's default"
LOST_SUBJECT = "`task_reject_on_worker_lost`, without `task_acks_late`,"
ATOMIC_ADVICE = "`transaction.atomic` in the sync views that need it"
UNDER_WSGI = "right where no async server runs this service"


@rule(
    "OFF701",
    message="does not do what is wanted",
    instead="the setting that does",
    target=Target.MODULE_BODY,
)
def setting_without_effect(body: Function) -> Iterator[Violation]:
    """Finds settings that work against async code, or that Celery ignores. The cases:

    1. `DJANGO_ALLOW_ASYNC_UNSAFE` lets queries run on the event loop.
    2. `CONN_MAX_AGE` keeps connections of threads that end, under an async server.
    3. A name that Celery does not know: its group is missing, as in `CELERY_POOL_LIMIT`.
    4. A soft time limit above the hard one, with which Celery refuses each call.
    5. A prefix, where `config_from_object` names no namespace.
    6. A time limit above the visibility timeout: Redis delivers the task again while it runs.
    7. No time limit for a task that may never end, so that it keeps its worker.
    8. A `countdown` or `eta` above it: Redis delivers the task again before its time.
    9. Options of a task that Celery does not use, and schedules that name no task.
    10. Limits that the pool of the workers does not heed.
    11. `ATOMIC_REQUESTS`, with which Django refuses async views.
    12. A mail server, a cache or tasks without the setting that limits how long they wait.
    13. A `timeout` of Django Q above its `retry`, after which it delivers a task again.
    14. The state of a task whose results nobody stores.
    15. An error of `autoretry_for` that a hook of the task raises, which Celery does not try again.
    16. A `self.retry()` whose `Retry` an `except` of the task catches.
    17. A route for all tasks of a module, which a task with a name of its own misses.
    """
    yield from _async_unsafe(body)
    yield from _kept_connections(body)
    yield from setting_names.of_body(body)
    settings = body.resolver.celery
    for scope in _tasks_of(body):
        yield from _time_limits(scope, body, settings)
    if isinstance(body.scope, Module):
        yield from _of_module(body.scope, settings, body.resolver)


def _of_module(module: Module, settings: CelerySettings, resolver: Resolver) -> Iterator[Violation]:
    """What a file says wrong of tasks, of schedules and of other services."""
    yield from redeliveries.of_all_tasks(module, settings)
    yield from redeliveries.of_delays(module, resolver)
    yield from schedules.of_module(module, resolver)
    yield from _contradictions(module, settings)
    yield from worker_pools.of_module(module, settings, resolver.project)
    yield from _atomic_requests(module, resolver)
    yield from unlimited_tasks.of_module(module, resolver)
    yield from waiting_settings.of_module(module, resolver)
    yield from cluster_settings.of_module(module, resolver)
    yield from ignored_results.of_module(module, resolver)
    yield from task_hooks.of_module(module, resolver)
    yield from swallowed_retries.of_module(module, resolver)
    yield from task_routes.of_module(module, settings, resolver)


def _async_unsafe(body: Function) -> Iterator[Violation]:
    """`os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"`, also in a function of the module."""
    module = body.scope.module
    # A file that sets Django up for plain code is started by hand, and serves nobody.
    is_plain = SETS_UP in module.text and "async def" not in module.text
    is_script = module.has_own_loop or (is_plain and module.path.stem not in SERVERS)
    if UNSAFE not in module.text or is_script:
        return
    resolver = body.resolver
    is_served = module.path.stem == "asgi" or not resolver.project.is_service
    may_run = is_served or resolver.settings.runs_under_asgi
    functions = [each for each in all_nodes(module.node) if isinstance(each, Def)]
    for node in all_nodes(module.node):
        match node:
            case (
                ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=name))])
                | ast.Call(
                    func=ast.Attribute(attr="setdefault" | "putenv"),
                    args=[ast.Constant(value=name), *_],
                )
            ) if name == UNSAFE:
                likely = IN_WORKER if module.path.stem == TASKS else ""
                likely = likely or (IN_BROWSER if BROWSER in module.text else "")
                is_inside = any(f.lineno <= node.lineno <= (f.end_lineno or 0) for f in functions)
                likely = likely or (IN_FUNCTION if is_inside else "")
                likely = likely or ("" if may_run else UNDER_WSGI)
                yield violation(node, UNSAFE_SUBJECT, likely=likely, instead=UNSAFE_ADVICE)


def _kept_connections(body: Function) -> Iterator[Violation]:
    """`"CONN_MAX_AGE": 600` of a database, or `conn_max_age=600` of what reads its URL."""
    settings, project = body.resolver.settings, body.resolver.project
    # A service of the standard has the check E701, which knows how its threads live.
    module = body.scope.module
    if module not in settings.modules or COPY.search(module.path.stem):
        return
    # A second server for WebSockets has one thread for all queries, which stays.
    if project.of_standard or settings.runs_under_wsgi or not settings.runs_under_asgi:
        return
    unused: set[ast.AST] = set()
    for each in own_nodes(body.scope.node):
        given: list[tuple[object, ast.expr]] = []
        match each:
            case ast.Dict(keys=keys, values=values):
                names = (getattr(key, "value", "") for key in keys)
                given = list(zip(names, values, strict=True))
            case ast.Call(keywords=keywords):
                given = [(keyword.arg, keyword.value) for keyword in keywords]
            case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=key))], value=value):
                given = [(key, value)]
                if _is_unused_database(each.targets[0], project):
                    unused.update(all_nodes(value))
        for name, value in given:
            is_off = str(_default(value)) == "0"
            if str(name).upper() == KEPT and not is_off and value not in unused:
                yield violation(value, KEPT_SUBJECT, likely=UNDER_WSGI, instead=KEPT_ADVICE)


def _is_unused_database(target: ast.expr, project: Project) -> bool:
    """Whether no other line names a database, as a router or `using` does: `DATABASES["old"]`."""
    match target:
        case ast.Subscript(
            value=ast.Name(id="DATABASES"), slice=ast.Constant(value=str() as alias)
        ):
            named = re.compile(rf"""["']{re.escape(alias)}["']""")
            uses = sum(len(named.findall(each.text)) for each in project.files)
            return alias != "default" and uses == 1
    return False


def _default(value: ast.expr) -> object:
    """What a setting is if nobody gives it another value: `int(os.environ.get("AGE", 0))`."""
    match value:
        case ast.Constant(value=constant):
            return constant
        case ast.Call(func=ast.Name(id="int"), args=[only]):
            return _default(only)
        case ast.Call(args=given, keywords=keywords):
            named = [each.value for each in keywords if each.arg == "default"]
            return next(map(_default, [*named, *given[1:]]), None)
    return None


def _atomic_requests(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """`ATOMIC_REQUESTS` of a database, with which Django refuses each async view."""
    found = ATOMIC_REQUESTS.search(module.text) if module in resolver.settings.modules else None
    if found is not None and (views := list(async_views(resolver))):
        line = module.text.count("\n", 0, found.end()) + 1
        subject = f"`ATOMIC_REQUESTS`, with which Django refuses the async `{views[0].label}`,"
        yield Violation(line, subject, instead=ATOMIC_ADVICE)


def _tasks_of(body: Function) -> Iterator[CodeScope]:
    """The tasks at the top of a module."""
    resolver = body.resolver
    for name in body.scope.names.values():
        scope = resolver.project.scopes.get(name) if isinstance(name, str) else None
        is_function = scope is not None and isinstance(scope.node, Def)
        if scope is not None and is_function and scope.module is body.scope:
            yield from [scope] if resolver.decorators.is_task(scope) else []


def _time_limits(scope: CodeScope, body: Function, settings: CelerySettings) -> Iterator[Violation]:
    """Limits of a task that contradict each other, or the broker's visibility timeout."""
    assert isinstance(scope.node, Def)
    for decorator in scope.node.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        limits = TaskLimits(decorator, scope, body.resolver)
        if limits.soft > limits.hard > 0:
            subject = f"`soft_time_limit={limits.soft}`, with a `time_limit` of {limits.hard},"
            yield violation(decorator, subject, instead=SOFT_ADVICE)
        yield from redeliveries.of_task(decorator, limits, settings)
        if CELERY_TASKS.matches(body.resolver.origin(decorator.func, scope.parent or scope)):
            yield from task_options.of_task(decorator, limits, body.resolver)


def _contradictions(module: Module, settings: CelerySettings) -> Iterator[Violation]:
    """Settings of all tasks that another one takes their effect."""
    soft, hard = (settings.seconds(f"task_{name}") for name in ("soft_time_limit", "time_limit"))
    if soft > hard > 0:
        subject = f"the soft time limit {soft}, with a time limit of {hard},"
        for given in settings.values("task_soft_time_limit"):
            if given.scope is module:
                yield violation(given.value, subject, instead=SOFT_ADVICE)
    is_of_broker = settings.values("broker_transport_options") or not settings.visibility_timeout
    for given in settings.values("result_backend_transport_options") if not is_of_broker else ():
        if given.scope is module and "visibility_timeout" in ast.unparse(given.value):
            yield violation(given.value, HIDDEN_SUBJECT, likely=LONG_ENOUGH, instead=HIDDEN_ADVICE)
    for given in settings.values("task_reject_on_worker_lost"):
        is_set = getattr(given.value, "value", None) is True
        if given.scope is module and is_set and not settings.is_late_somewhere:
            yield violation(given.value, LOST_SUBJECT, instead="`task_acks_late`")
