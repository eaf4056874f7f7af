"""OFF304: a task is an async function."""

import re
from collections.abc import Iterator

from offload_dev.lint.checks.registry import Target, rule
from offload_dev.lint.checks.violations import Violation, violation
from offload_dev.lint.functions.function import Function
from offload_dev.lint.source.names import CELERY_TASKS

# Pools of packages: `celery-aio-pool`, `celery-pool-asyncio`.
RUNS_ASYNC = re.compile(r"AsyncIOPool|celery_aio_pool|celery_pool_asyncio")


@rule(
    "OFF304",
    message="is a task, but an async function, which Celery cannot run",
    instead="a plain function",
    target=Target.ASYNC_FUNCTION,
)
def async_task(function: Function) -> Iterator[Violation]:
    """Finds Celery's tasks that are async functions. The worker fails on the coroutine.

    Other libraries, such as `django.tasks` and Procrastinate, run async tasks. A task on which
    another decorator stands below may be a plain function by then. Some pools for Celery run async
    tasks, too.
    """
    decorators = [origin for origin, _ in function.decorators]
    if decorators and CELERY_TASKS.matches(decorators[-1]):
        files = function.resolver.project.files
        if not any(RUNS_ASYNC.search(each.text) for each in files):
            yield violation(function.scope.node, f"{function.scope.label}()")
