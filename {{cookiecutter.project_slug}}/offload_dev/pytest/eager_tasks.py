"""Finds faults of Celery tasks that a test hides which runs tasks at once.

No message is written then, so a result may be anything. And no task has to wait for a free worker.
Celery itself writes the arguments, and refuses those that it cannot write.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from offload_dev.pytest.watched_calls import (
    Method,
    calling_steps,
    complain_before,
    is_called_by_service,
    loaded,
    this_line,
)

RUNNING = (Method("celery.app.task", "Task", "apply"),)
WAITING = (
    Method("celery.result", "AsyncResult", "get"),
    Method("celery.result", "EagerResult", "get"),
    Method("celery.result", "ResultSet", "get"),
    Method("celery.result", "ResultSet", "join"),
    Method("celery.result", "ResultSet", "join_native"),
)
RESULT = "the task {} returns a {}, which no message can carry: docs/guard/OFF307.md"
WAITS = "waits for a task inside of a task: docs/guard/OFF305.md"


@contextmanager
def find_faults(found: list[str]) -> Iterator[None]:
    """Add a sentence for each result that is refused, and each wait of a task for another one."""
    with complain_before(WAITING, _waits_in_a_task, found), ExitStack() as stack:
        for owner, name in loaded(RUNNING):
            stack.enter_context(patch.object(owner, name, _watched(getattr(owner, name), found)))
        yield


def _waits_in_a_task(*_: Any, **options: Any) -> str | None:
    """Whether the service itself waits in a task. An eager chord waits by itself."""
    from celery import current_task

    allowed = options.get("disable_sync_subtasks") is False or not is_called_by_service(
        calling_steps()
    )
    return WAITS if current_task and not allowed else None


def _watched(original: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    """`Task.apply`, which runs a task at once and gives its result."""

    @wraps(original)
    def apply(task: Any, *args: Any, **kwargs: Any) -> Any:
        ran = original(task, *args, **kwargs)
        kept = ran.successful() and not task.ignore_result
        if kept and not _can_be_written(task, ran.result):
            said = RESULT.format(task.name, type(ran.result).__name__)
            found.append(f"{this_line()}: {said}")
        return ran

    return apply


def _can_be_written(task: Any, value: Any) -> bool:
    from kombu.exceptions import EncodeError
    from kombu.serialization import dumps

    try:
        dumps(value, task.serializer or task.app.conf.task_serializer)
    except EncodeError:
        return False
    return True
