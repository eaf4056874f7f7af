"""Options of a task that Celery does not use. It takes each name, so nothing fails."""

import ast
from collections.abc import Iterator
from difflib import get_close_matches

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.origins.resolver import Resolver
from offload_dev.lint.source.arguments import is_set
from offload_dev.lint.source.names import TASK_OPTIONS
from offload_dev.lint.tasks.task_limits import TaskLimits

# Celery reads them only where it retries by itself.
OF_AUTORETRY = ("retry_backoff", "retry_backoff_max", "retry_jitter", "retry_kwargs")
AUTORETRY = "autoretry_for"
AUTORETRY_ADVICE = f"`{AUTORETRY}=(…,)`; or a longer `countdown` for each `self.retry(…)`"
LOST = "reject_on_worker_lost"
# What is meant by names that other libraries have.
MEANT = {
    "countdown": "`apply_async(countdown=…)`",
    "eta": "`apply_async(eta=…)`",
    "hard_time_limit": "`time_limit`",
    "interval_start": "`retry_backoff`, with `autoretry_for`",
    "interval_step": "`retry_backoff`, with `autoretry_for`",
    "retries": "`max_retries`",
    "retry_delay": "`default_retry_delay`",
    "task_acks_late": "`acks_late`",
    "task_soft_time_limit": "`soft_time_limit`",
    "task_time_limit": "`time_limit`",
    "timeout": "`time_limit`",
}
# How much alike a misspelt name and the right one are.
ALIKE = 0.85


def of_task(decorator: ast.Call, limits: TaskLimits, resolver: Resolver) -> Iterator[Violation]:
    """The options of a task that have no effect. Three cases:

    1. Those of `autoretry_for`, without it.
    2. `reject_on_worker_lost`, without late acknowledgement.
    3. A name that Celery does not know.

    A base class may give the others, or read the option itself.
    """
    names = [each.arg for each in decorator.keywords if each.arg]
    if "base" in names or len(names) < len(decorator.keywords):
        return
    said = set()
    for name in (each for each in names if not _is_read(each, resolver)):
        is_lost = name in OF_AUTORETRY and AUTORETRY not in names and is_set(decorator, name)
        if is_lost and not limits.paces_retries:
            subject = f"`{name}`, without `{AUTORETRY}`,"
            yield violation(decorator, subject, instead=AUTORETRY_ADVICE)
            return
        if name == LOST and is_set(decorator, name) and not limits.acks_late:
            advice = "`acks_late=True`"
            yield violation(decorator, f"`{name}`, without `acks_late`,", instead=advice)
        # `interval_start` and `interval_step` stand for the same.
        if (advice := _meant(name)) and advice not in said:
            said.add(advice)
            yield violation(decorator, f"`{name}`, which no task reads,", instead=advice)


def _meant(name: str) -> str:
    """What an unknown name stands for; empty if it is known, or looks like no other."""
    if name in TASK_OPTIONS:
        return ""
    alike = get_close_matches(name, TASK_OPTIONS, 1, ALIKE)
    return MEANT.get(name) or (f"`{alike[0]}`" if alike else "")


def _is_read(name: str, resolver: Resolver) -> bool:
    """Whether the project reads an option by itself: `self.retry_backoff`."""
    return any(f".{name}" in module.text for module in resolver.project.files)
