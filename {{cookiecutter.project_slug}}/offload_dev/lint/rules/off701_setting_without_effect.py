"""OFF701: a setting does not do what is wanted."""

import ast
import re
from collections.abc import Iterator

from offload_dev.lint import redeliveries, waiting_settings
from offload_dev.lint.celery_settings import APPS, CelerySettings
from offload_dev.lint.function import Function
from offload_dev.lint.names import CELERY_SETTINGS, WITHOUT_GROUP
from offload_dev.lint.registry import Target, rule
from offload_dev.lint.settings_files import CELERY, assignments, is_settings
from offload_dev.lint.source import CodeScope, Def, Module, own_nodes
from offload_dev.lint.task_limits import TaskLimits
from offload_dev.lint.violations import Violation, violation

UNSAFE = "DJANGO_ALLOW_ASYNC_UNSAFE"
UNSAFE_SUBJECT = f"`{UNSAFE}`, which lets queries block the event loop,"
UNSAFE_ADVICE = "delete it, and await the queries that Django refuses then"
KEPT = "CONN_MAX_AGE"
KEPT_ADVICE = "`CONN_MAX_AGE = 0`, and a pool of connections"
# They have had the prefix before Celery 4, which still reads them.
OF_CELERY_3 = {
    "CELERY_TASK_SERIALIZER", "CELERY_TASK_PUBLISH_RETRY", "CELERY_TASK_PUBLISH_RETRY_POLICY",
    "CELERY_TASK_RESULT_EXPIRES", "CELERY_WORKER_DIRECT",
}  # fmt: skip
# A file that somebody has put aside.
COPY = re.compile(r"_(backup|bak|copy|old)$")
UNLIMITED = "the app, whose tasks have no time limit,"
ENDS = "right if the command of the worker limits them, or each task ends by itself"
LIMIT_ADVICE = "`task_time_limit`, and a `task_soft_time_limit` below it"
UNDER_WSGI = "right where no async server runs this service"


@rule(
    "OFF701",
    message="is a setting that does not do what is wanted",
    instead="the setting that does",
    target=Target.MODULE_BODY,
)
def setting_without_effect(body: Function) -> Iterator[Violation]:
    """Finds settings that work against async code, or that Celery ignores. Nine cases:

    1. `DJANGO_ALLOW_ASYNC_UNSAFE` lets queries run on the event loop.
    2. `CONN_MAX_AGE` keeps connections of threads that end, under an async server.
    3. A name that Celery does not know: its group is missing, as in `CELERY_POOL_LIMIT`.
    4. A soft time limit above the hard one, with which Celery refuses each call.
    5. A prefix, where `config_from_object` names no namespace.
    6. A time limit above the visibility timeout: Redis delivers the task again while it runs.
    7. No time limit in the whole project, so that a task that hangs keeps its worker.
    8. A `countdown` or `eta` above it: Redis delivers the task again before its time.
    9. A mail server, a cache or tasks without the setting that limits how long they wait.
    """
    yield from _async_unsafe(body)
    yield from _kept_connections(body)
    yield from _unknown_names(body)
    settings = body.resolver.celery
    for scope in _tasks_of(body):
        yield from _time_limits(scope, body, settings)
    yield from _unlimited_tasks(body)
    if isinstance(body.scope, Module):
        yield from redeliveries.of_all_tasks(body.scope, settings)
        yield from redeliveries.of_delays(body.scope, body.resolver)
        yield from waiting_settings.of_module(body.scope, body.resolver)


def _async_unsafe(body: Function) -> Iterator[Violation]:
    """`os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"`, also in a function of the module."""
    if UNSAFE not in body.scope.module.text or body.scope.module.has_own_loop:
        return
    for node in ast.walk(body.scope.node):
        match node:
            case (
                ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=name))])
                | ast.Call(
                    func=ast.Attribute(attr="setdefault" | "putenv"),
                    args=[ast.Constant(value=name), *_],
                )
            ) if name == UNSAFE:
                yield violation(node, UNSAFE_SUBJECT, instead=UNSAFE_ADVICE)


def _kept_connections(body: Function) -> Iterator[Violation]:
    """`"CONN_MAX_AGE": 600` of a database, or `conn_max_age=600` of what reads its URL."""
    settings, project = body.resolver.settings, body.resolver.project
    # A service of the standard has the check E701, which knows how its threads live.
    module = body.scope.module
    if not is_settings(module) or COPY.search(module.path.stem):
        return
    if project.of_standard or not settings.runs_under_asgi:
        return
    for each in own_nodes(body.scope.node):
        given: list[tuple[object, ast.expr]] = []
        match each:
            case ast.Dict(keys=keys, values=values):
                names = (getattr(key, "value", "") for key in keys)
                given = list(zip(names, values, strict=True))
            case ast.Call(keywords=keywords):
                given = [(keyword.arg, keyword.value) for keyword in keywords]
        for name, value in given:
            is_off = isinstance(value, ast.Constant) and value.value == 0
            if str(name).upper() == KEPT and not is_off:
                yield violation(value, f"`{KEPT}`", likely=UNDER_WSGI, instead=KEPT_ADVICE)


def _unknown_names(body: Function) -> Iterator[Violation]:
    """Names without their group in the settings, and variables beside the Celery app."""
    module, settings = body.scope.module, body.resolver.settings
    is_app = any(call.origin in APPS for call in body.calls)
    reads_settings = is_settings(module) and settings.reads_namespace
    is_plain = settings.is_without_namespace(module)
    for name, node in assignments(module):
        key = name.removeprefix(CELERY).lower()
        if is_app and name in CELERY_SETTINGS and module.text.count(name) == 1:
            yield violation(node, f"`{name}`", instead=f"`app.conf.{name} = …`")
        is_ignored = name.startswith(CELERY) and key in WITHOUT_GROUP
        uses = sum(each.text.count(name) for each in settings.files) if is_plain else 0
        if uses == 1 and _has_needless_prefix(name):
            yield violation(node, f"`{name}`", instead=f"`{key}`, without the prefix")
        if is_ignored and reads_settings and not settings.is_read(name):
            advice = f"`{CELERY}{WITHOUT_GROUP[key].upper()}`"
            yield violation(node, f"`{name}`", instead=advice)


def _has_needless_prefix(name: str) -> bool:
    """Whether a name has the prefix of a namespace, and is no name of Celery 3 either."""
    key = name.removeprefix(CELERY)
    is_of_group = key.startswith(("TASK_", "WORKER_", "BROKER_", "BEAT_"))
    return name.startswith(CELERY) and is_of_group and name not in OF_CELERY_3


def _unlimited_tasks(body: Function) -> Iterator[Violation]:
    """The app of a project that has tasks, and no line that limits one of them."""
    resolver = body.resolver
    apps = [call.node for call in body.calls if call.origin in APPS]
    is_script = body.scope.module.is_script
    if (
        not apps
        or is_script
        or any("time_limit" in each.text.lower() for each in resolver.project.files)
    ):
        return
    if any(resolver.decorators.is_task(each) for each in resolver.project.functions):
        yield violation(apps[0], UNLIMITED, likely=ENDS, instead=LIMIT_ADVICE)


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
            yield violation(decorator, subject, instead="a soft limit below the hard one")
        yield from redeliveries.of_task(decorator, limits, settings)
