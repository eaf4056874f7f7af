import logging
from contextvars import ContextVar

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if current := request_id.get():
            record.request_id = current
        return True


class TaskFilter(logging.Filter):
    """Adds the Celery task to each log line."""

    _task_id = None
    _task_name = None

    @classmethod
    def set_task(cls, task_id: str, task_name: str) -> None:
        cls._task_id = task_id
        cls._task_name = task_name

    @classmethod
    def clear_task(cls) -> None:
        cls._task_id = None
        cls._task_name = None

    def filter(self, record: logging.LogRecord) -> bool:
        if self._task_id:
            record.task_id = self._task_id
        if self._task_name:
            record.task_name = self._task_name
        return True
