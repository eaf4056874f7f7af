"""Schedules of Celery's beat that run more often than meant, or name no task."""

import ast
from collections.abc import Iterator

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.nodes import all_nodes
from offload_dev.lint.source.tree import Module

CRONTAB = "celery.schedules.crontab"
EACH_MINUTE = "right if it is to run in each minute"
MINUTE_ADVICE = "`crontab(minute=0, …)`"
NAME_ADVICE = "the name of the task, as the worker has registered it"


def of_module(module: Module, resolver: Resolver) -> Iterator[Violation]:
    """The schedules in a file. Two cases:

    1. `crontab(hour=3)` runs sixty times: each field that is not given is a `*`.
    2. `"task": "shop.tasks.sned"` names a function that its module does not have.
    """
    if "crontab(" in module.text or "beat_schedule" in module.text.lower():
        for node in all_nodes(module.node):
            match node:
                case ast.Call(func=called, args=[], keywords=given) if given:
                    names = {each.arg for each in given}
                    is_short = names.isdisjoint({"minute", None})
                    if is_short and resolver.origin(called, module) == CRONTAB:
                        subject = f"`{ast.unparse(node)}`, which runs each minute then,"
                        yield violation(node, subject, likely=EACH_MINUTE, instead=MINUTE_ADVICE)
                case ast.Dict(keys=keys, values=values):
                    entry = {getattr(k, "value", ""): v for k, v in zip(keys, values, strict=True)}
                    yield from _of_entry(entry, resolver)


def _of_entry(entry: dict[object, ast.expr], resolver: Resolver) -> Iterator[Violation]:
    """A dictionary of a schedule, with the name of its task."""
    match entry.get("task"):
        case ast.Constant(value=str() as name) as given if "schedule" in entry:
            holder, _, function = name.rpartition(".")
            module = resolver.project.modules.get(holder)
            if module is None or module.stars or function in module.names:
                return
            # Elsewhere it may be the name that a task gives itself.
            quoted = (f'"{name}"', f"'{name}'")
            texts = [each.text for each in resolver.project.files]
            if sum(text.count(each) for text in texts for each in quoted) == 1:
                yield violation(given, f"`{name}`, which no task has,", instead=NAME_ADVICE)
