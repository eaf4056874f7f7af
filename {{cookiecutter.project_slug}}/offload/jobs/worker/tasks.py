"""The Celery tasks of a worker: one for each job type.

A task executes the job whose id is the message's one argument. A web process knows no tasks: it
publishes by name.
"""

import logging
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from celery import shared_task

from offload.celery_app import celery_app
from offload.jobs.declare import all_job_types
from offload.jobs.job_type import JobType
from offload.jobs.worker.assignments import Assignments
from offload.jobs.worker.executor import JobFailed, execute
from offload.jobs.worker.kept_end import Spooler

logger = logging.getLogger("offload.jobs")

# Seconds between two log lines of one process about messages that name no job.
MISSING_LOG_INTERVAL_SECONDS = 60.0
# A year: Celery takes 0 and None for the limit of its settings.
NO_LIMIT_SECONDS = 365 * 86400


class MissingRows:
    """Says that messages name jobs which the database does not have, once a minute.

    Another environment of the service that uses the same Redis takes half of the messages, and puts
    its own into the same lists. No job is lost, since each waits in its row for another message.
    But nothing else shows why jobs begin late. Each process that computes has its own, from its
    fork on.
    """

    def __init__(self) -> None:
        self._next_line = 0.0
        self._unsaid = 0

    def note(self, kind: str, job_id: UUID) -> None:
        """Count one message, and log it if that is due."""
        self._unsaid += 1
        now = time.monotonic()
        if now < self._next_line:
            return
        logger.warning(
            "a message names the job %s of type %r, which is not in this database (%d such "
            "messages since the last such line). Another service or environment seems to use the "
            "same Redis database: they take each other's messages, and jobs begin late. Give each "
            "its own",
            job_id,
            kind,
            self._unsaid,
        )
        self._next_line, self._unsaid = now + MISSING_LOG_INTERVAL_SECONDS, 0


def register_tasks(worker_id: UUID, assignments: Assignments, spooler: Spooler) -> None:
    """Register one Celery task for each job type, so that Flower groups by it."""
    missing = MissingRows()
    for job_type in all_job_types():
        _register_task(job_type, worker_id, assignments, spooler, missing)


def _register_task(
    job_type: JobType[Any, Any],
    worker_id: UUID,
    assignments: Assignments,
    spooler: Spooler,
    missing: MissingRows,
) -> None:
    # A failed job is a failed task, without a second traceback in the log.
    @shared_task(name=job_type.name, throws=(JobFailed,))
    def run(*arguments: Any, **options: Any) -> str:
        job_id = None if options else _job_id(arguments)
        if job_id is None:
            logger.error(
                "a message for the job %r names no job's id, and runs nothing: a schedule of "
                "Celery beat, or `send_task`, makes no job. Submit it, or declare it with `every` "
                "or `cron`",
                job_type.name,
            )
            return "no job"

        ended = execute(job_type, job_id, worker_id, assignments.slot(), spooler)
        if ended == "missing":
            missing.note(job_type.name, job_id)
        return ended

    # On the task itself: Celery writes `task_annotations` over what its class has.
    for option, value in _task_options(run).items():
        setattr(run, option, value)


def _job_id(arguments: tuple[Any, ...]) -> UUID | None:
    """The id in a message's arguments; None where the message is not of `relay.py`."""
    with suppress(ValueError, TypeError, AttributeError):
        (job_id,) = arguments
        return UUID(job_id)
    return None


def _task_options(task: Any) -> dict[str, Any]:
    """What holds for a job's task whatever a service has set for all its Celery tasks."""
    # A result is in the row. On Redis, late acknowledgements lost and doubled messages. A limit of
    # the rate would let jobs wait in the worker, where no page shows why.
    options: dict[str, Any] = {
        "acks_late": False,
        "ignore_result": True,
        "rate_limit": 0,
        "store_errors_even_if_ignored": False,
    }
    # `time_limits.py` enforces a job's own limits, with or without a broker.
    names = ("time_limit", "soft_time_limit")
    if any(getattr(task, name) or celery_app().conf[f"task_{name}"] for name in names):
        options |= dict.fromkeys(names, NO_LIMIT_SECONDS)
    return options
