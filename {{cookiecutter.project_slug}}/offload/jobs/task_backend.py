"""Django's tasks as jobs (Django 6.0 and newer).

What a library enqueues through `django.tasks` gets the promise of a job. A service sets `TASKS`;
docs/reference/jobs.md has an example.

It is imported where `TASKS` names it, and needs `django.tasks`.
"""

from typing import Any
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.tasks import task_backends
from django.tasks.backends.base import BaseTaskBackend
from django.tasks.base import Task, TaskContext, TaskError, TaskResult, TaskResultStatus
from django.tasks.exceptions import TaskResultDoesNotExist
from django.tasks.signals import task_enqueued
from django.utils.json import normalize_json
from django.utils.module_loading import import_string
from pydantic import BaseModel

from offload.jobs.client import insert
from offload.jobs.declare import Report, find_job_type, job
from offload.jobs.errors import JobError, UnknownJobType
from offload.jobs.job_type import JobType
from offload.jobs.models import Job, Status

STATUSES = {
    Status.QUEUED: TaskResultStatus.READY,
    Status.RUNNING: TaskResultStatus.RUNNING,
    Status.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    Status.FAILED: TaskResultStatus.FAILED,
    Status.CANCELLED: TaskResultStatus.FAILED,
}
# What `OPTIONS` may have: the limits of every task of the backend, and the owner of its jobs. Times
# are in seconds and sizes in bytes.
DEFAULT_OPTIONS: dict[str, Any] = {
    "time_limit": 300.0,
    "memory_limit": 512 * 2**20,
    "max_attempts": 3,
    "owner": "tasks",
}


class TaskCall(BaseModel):
    """The parameters of a task's job."""

    # The task's place in Python, such as `shop.tasks.send_receipt`.
    path: str
    # The name of the backend in `TASKS`.
    backend: str
    result_id: str
    # Not `args` and `kwargs`, the names of parameters of a model's own constructor.
    positional: list[Any]
    named: dict[str, Any]


class TaskReturn(BaseModel):
    """What the task returned."""

    value: Any = None


def run_task(params: TaskCall, report: Report) -> TaskReturn:
    """Call a task, in a worker's process."""
    task = find_task(params.path)
    args = params.positional
    if task.takes_context:
        result = task_backends[params.backend].get_result(params.result_id)
        args = [TaskContext(task_result=result), *args]
    return TaskReturn(value=normalize_json(task.call(*args, **params.named)))


def find_task(path: str) -> "Task[Any, Any]":
    """The task at this place. Nothing but a task is ever called.

    Raises:
        JobError: there is none, for example because it was renamed.
    """
    try:
        found = import_string(path)
    except ImportError:
        found = None
    if not isinstance(found, Task):
        raise JobError(f"there is no task {path}: was it renamed or removed?")
    return found


class JobBackend(BaseTaskBackend):
    """A backend for `TASKS`. Each of its queues is a queue of `config/celery.py`.

    Django's signals `task_started` and `task_finished` are not sent: the process that runs a task
    may die, and the end is known only when the database has taken it.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._options = DEFAULT_OPTIONS | self.options
        self._owner = self._options.pop("owner")
        for queue in self.queues:
            self._job_type(queue)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Insert a job. Within a transaction it is published after the commit.

        Raises:
            InvalidTask: the backend cannot run the task.
            Problem: 503 where the queue is full, 413 where the arguments are too large, 422 where
                `run_after` is more than 100 years away.
        """
        self.validate_task(task)
        job_id, path = uuid4(), task.module_path
        call = TaskCall(
            path=path,
            backend=self.alias,
            result_id=str(job_id),
            positional=normalize_json(list(args)),
            named=normalize_json(kwargs),
        )
        job_type = self._job_type(task.queue_name)
        row = insert(job_type, call, self._owner, task.run_after, id=job_id)

        result = self._result(row, task)
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """What became of a task.

        Raises:
            TaskResultDoesNotExist: no such task, or it is older than `result_lifetime`.
        """
        try:
            row = Job.objects.get(pk=UUID(result_id), kind__startswith=self._prefix)
        except (Job.DoesNotExist, ValidationError, ValueError) as error:
            raise TaskResultDoesNotExist(result_id) from error
        return self._result(row, find_task(row.params["path"]))

    @property
    def _prefix(self) -> str:
        return f"tasks.{self.alias}."

    def _job_type(self, queue: str) -> JobType[Any, Any]:
        """The job type of a queue. Django makes a backend for each thread."""
        name = f"{self._prefix}{queue}"
        try:
            return find_job_type(name)
        except UnknownJobType:
            return job(name, queue=queue, **self._options)(run_task)

    def _result(self, row: Job, task: Any) -> Any:
        errors = []
        if STATUSES[Status(row.status)] == TaskResultStatus.FAILED:
            text = row.error_detail or row.error or row.status
            errors.append(TaskError(exception_class_path="offload.jobs.JobError", traceback=text))

        result: Any = TaskResult(
            task=task,
            id=str(row.pk),
            status=STATUSES[Status(row.status)],
            enqueued_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            last_attempted_at=row.started_at,
            args=row.params["positional"],
            kwargs=row.params["named"],
            backend=self.alias,
            errors=errors,
            # One for each attempt. The row knows only the last worker.
            worker_ids=[str(row.worker or "")] * row.attempts,
        )
        if row.status == Status.SUCCEEDED:
            object.__setattr__(result, "_return_value", row.load_result()["value"])
        return result


def declare_task_types() -> None:
    """Declare the job types of all backends in `TASKS`, in web processes and workers."""
    for alias in task_backends:
        task_backends[alias]
