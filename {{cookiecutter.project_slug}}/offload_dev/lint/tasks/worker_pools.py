"""Settings of workers that their pool does not heed: threads and `solo` end no task."""

from collections.abc import Iterator
from typing import NamedTuple

from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.settings.celery_settings import CelerySettings
from offload_dev.lint.settings.servers import worker_pools
from offload_dev.lint.source.project import Project
from offload_dev.lint.source.tree import Module

ADVICE = "the pool `prefork`, whose processes Celery can end"
ELSEWHERE = "right if another command starts the workers"


class Limits(NamedTuple):
    """What a pool does not heed. Source: `celery.concurrency`, where `prefork` alone reads all."""

    settings: tuple[str, ...]
    pools: frozenset[str]


OF_TASKS = Limits(("task_time_limit",), frozenset({"threads", "solo"}))
OF_PROCESSES = Limits(
    ("task_soft_time_limit", "worker_max_tasks_per_child", "worker_max_memory_per_child"),
    frozenset({"threads", "solo", "gevent", "eventlet"}),
)


def of_module(module: Module, settings: CelerySettings, project: Project) -> Iterator[Violation]:
    """The limits in a file, where each command that starts a worker names a pool without them."""
    named = ((limits, each) for limits in (OF_TASKS, OF_PROCESSES) for each in limits.settings)
    for limits, name in named:
        for given in settings.values(name):
            if given.scope is not module or getattr(given.value, "value", True) is None:
                continue
            pools = worker_pools(project)
            if pools and pools <= limits.pools:
                pool = " and ".join(f"`{each}`" for each in sorted(pools))
                subject = f"`{name}`, which workers with the pool {pool} do not heed,"
                yield violation(given.value, subject, likely=ELSEWHERE, instead=ADVICE)
