"""Routes of Celery that a task misses, so that it lands in the default queue."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.source.nodes import Def
from offload_dev.lint.source.tree import CodeScope, Module

SETTING = "task_routes"
# `task_routes = {"shop.tasks.*": …}`
ALL_OF_MODULE = ".*"
OTHER_QUEUE = "right if this task belongs in the default queue"
ADVICE = "delete the name, or name it in the routes"


def of_module(module: Module, settings: CelerySettings, resolver: Resolver) -> Iterator[Violation]:
    """The tasks of a module with names of their own, where a route means the whole module.

    A route is held against the name of a task, which is that of its function only by default.
    """
    if "name=" not in module.text:
        return
    patterns = _patterns(settings)
    meant = next((each for each in patterns if _is_of(module, each)), "")
    if not meant:
        return
    for task in filter(resolver.decorators.is_task, resolver.project.functions):
        if task.module is module:
            for decorator, name in _names(task):
                if not any(fnmatchcase(name, pattern) for pattern in patterns):
                    subject = f"the route `{meant}`, for a task with the name `{name}`,"
                    yield violation(decorator, subject, likely=OTHER_QUEUE, instead=ADVICE)


def _is_of(module: Module, pattern: str) -> bool:
    """Whether a pattern means all tasks of a module, whose folder may be below the project's."""
    named = pattern.removesuffix(ALL_OF_MODULE)
    return named != pattern and f".{module.dotted}".endswith(f".{named}")


def _patterns(settings: CelerySettings) -> list[str]:
    """The keys of all routes; none if a part of them is not in the source."""
    patterns: list[str] = []
    for value, _ in settings.values(SETTING):
        keys = value.keys if isinstance(value, ast.Dict) else [None]
        for key in keys:
            if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                return []
            patterns.append(key.value)
    return patterns


def _names(task: CodeScope) -> Iterator[tuple[ast.Call, str]]:
    """The decorators that give a task a name, and no queue."""
    assert isinstance(task.node, Def)
    for decorator in task.node.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        given = {each.arg: each.value for each in decorator.keywords}
        name = given.get("name")
        if isinstance(name, ast.Constant) and isinstance(name.value, str) and "queue" not in given:
            yield decorator, name.value
