import logging
from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_task_id: ContextVar[str | None] = ContextVar("task_id", default=None)
_task_name: ContextVar[str | None] = ContextVar("task_name", default=None)


class RequestFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if current := request_id.get():
            record.request_id = current
        return True


class TaskFilter(logging.Filter):
    """Adds the Celery task to each log line."""

    @staticmethod
    def set_task(task_id: str, task_name: str) -> None:
        _task_id.set(task_id)
        _task_name.set(task_name)

    @staticmethod
    def clear_task() -> None:
        _task_id.set(None)
        _task_name.set(None)

    def filter(self, record: logging.LogRecord) -> bool:
        if current := _task_id.get():
            record.task_id = current
        if name := _task_name.get():
            record.task_name = name
        return True
