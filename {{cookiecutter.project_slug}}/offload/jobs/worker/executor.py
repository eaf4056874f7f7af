"""Executes one job in a process that computes: claim, run, write the end, tell the others.

Whatever the function does, it ends in one transition.
"""

import logging
import os
import signal
import time
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from pydantic import ValidationError

from offload.jobs import transitions
from offload.jobs.database import retry_while_database_is_down
from offload.jobs.declare import JobType, all_job_types
from offload.jobs.divided import make_parts, part_results
from offload.jobs.models import Job, Phase, Status
from offload.jobs.services import services
from offload.jobs.worker.memory_limit import memory_limit
from offload.jobs.worker.report import Cancelled, LeaseLost, make_report

log = logging.getLogger("offload.jobs")


class JobFailed(Exception):
    """A job has failed; its row says why. It is raised so that Flower and Celery count it."""


def register_tasks(worker_id: UUID) -> None:
    """Register one Celery task for each job type, so that Flower groups by it.

    A web process knows no tasks. It publishes by name, and a message's one argument is the job's
    id.
    """
    for job_type in all_job_types():
        _register_task(job_type, worker_id)


def _register_task(job_type: JobType[Any, Any], worker_id: UUID) -> None:
    # Celery's types want whole seconds; its code takes fractions.
    @shared_task(  # type: ignore[call-overload,untyped-decorator]
        name=job_type.name,
        soft_time_limit=job_type.limits.soft_limit,
        time_limit=job_type.limits.time_limit,
        # A failed job is a failed task, without a second traceback in the log.
        throws=(JobFailed,),
    )
    def run(job_id: str) -> str:
        return execute(job_type, UUID(job_id), worker_id)


def execute(job_type: JobType[Any, Any], job_id: UUID, worker_id: UUID) -> str:
    """Execute one job up to its next state.

    Returns:
        The name of that state; `duplicate` where the job was not due; `fenced` where another
        worker has taken it over.

    Raises:
        JobFailed: the job has failed; its row has the reason.
    """
    _die_when_told_to_end()

    job = _claim(job_id, worker_id)
    if job is None:
        return "duplicate"

    started = time.perf_counter()
    ended = _run(job_type, job)
    if ended is None:
        log.warning("job %s: another worker has taken over, this result is dropped", job_id)
        return "fenced"

    _tell_watchers_and_parent(ended)
    seconds = round(time.perf_counter() - started, 3)
    log.info("job %s", ended.status, extra=job.log_fields() | {"seconds": seconds})

    if ended.status == Status.FAILED:
        raise JobFailed(ended.error)
    return ended.status


def _die_when_told_to_end() -> None:
    """Let SIGQUIT end this process at once.

    billiard's handler would raise SystemExit in the job's code, but a worker that shuts down is no
    failure of the job. The row stays as it is, and the main process hands it back.
    """
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def _claim(job_id: UUID, worker_id: UUID) -> Job | None:
    job: Job | None = retry_while_database_is_down(
        lambda: transitions.claim(job_id, worker_id, os.getpid())
    )
    if job is not None:
        services.events.publish(job)
    return job


def _run(job_type: JobType[Any, Any], job: Job) -> Job | None:
    """Run the function and write how it ended. Returns the new row; None where the lease was lost.

    Four cases: the function returned, it was asked to stop, it lost its lease, it raised an error.
    """
    try:
        with memory_limit(job_type.limits.memory_limit):
            return _compute(job_type, job)
    except Cancelled:
        return retry_while_database_is_down(lambda: transitions.stop(job))
    except LeaseLost:
        return None
    # sys.exit() and MemoryError, too, are failures of the job, not of the worker.
    except BaseException as error:  # noqa: BLE001
        return _retry_or_fail(job_type, job, error)


def _compute(job_type: JobType[Any, Any], job: Job) -> Job | None:
    """Three cases: an undivided job, the second claim of a divided job, its first claim."""
    params = job_type.params.model_validate(job.params)

    if job_type.part is None:
        result = job_type.function(params, make_report(job))
    elif job.phase == Phase.JOIN:
        result = job_type.function(params, part_results(job_type, job))
    else:
        return _divide(job, make_parts(job_type, job, params))

    inline, file = job.store_result(
        job_type,
        result,
        announce=lambda name: retry_while_database_is_down(
            lambda: transitions.announce_file(job, name)
        ),
    )
    return retry_while_database_is_down(lambda: transitions.succeed(job, inline, file))


def _divide(job: Job, parts: list[Job]) -> Job | None:
    divided = retry_while_database_is_down(lambda: transitions.divide(job, parts))
    if divided is not None and not divided.final:
        _publish(parts)
    return divided


def _retry_or_fail(job_type: JobType[Any, Any], job: Job, error: BaseException) -> Job | None:
    limits = job_type.limits

    if isinstance(error, limits.retry_on) and job.attempts < job.max_attempts:
        delay = limits.delay_before_retry(job.attempts)
        reason = f"{_in_words(job_type, error)}, attempt {job.attempts} of {job.max_attempts}"
        return retry_while_database_is_down(lambda: transitions.retry(job, reason, delay))

    log.error(
        "job %s of type %s failed", job.pk, job_type.name, exc_info=error, extra=job.log_fields()
    )
    return retry_while_database_is_down(lambda: transitions.fail(job, _in_words(job_type, error)))


def _in_words(job_type: JobType[Any, Any], error: BaseException) -> str:
    match error:
        case SoftTimeLimitExceeded():
            return f"time limit: still running after {job_type.limits.soft_limit:g} s"
        case MemoryError():
            mebibytes = job_type.limits.memory_limit // 2**20
            return f"memory limit: the job needed more than {mebibytes} MiB"
        case SystemExit():
            return f"the job called sys.exit({error.code!r})"
        case ValidationError():
            return f"parameters or result do not fit their model: {error}"
    return f"{type(error).__name__}: {error}"


def _tell_watchers_and_parent(ended: Job) -> None:
    """Send the event. If the last part has ended, have its parent published."""
    services.events.publish(ended)
    if not (ended.parent_id and ended.final):
        return

    parent = Job.objects.get(pk=ended.parent_id)
    services.events.publish(parent)
    if parent.phase == Phase.JOIN:
        _publish([parent])


def _publish(jobs: list[Job]) -> None:
    if services.relay is not None:
        services.relay.notify(jobs)
