"""Executes one job in a process that computes: claim, run, write the end, tell the others.

Whatever the function does, it ends in one transition. An error of the function fails the job; an
error of writing never does.
"""

import ctypes
import logging
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import Q
from pydantic import BaseModel, ValidationError

from offload.jobs import transitions
from offload.jobs.attempt_span import traced
from offload.jobs.errors import JobError
from offload.jobs.followers import check_handed_on
from offload.jobs.job_type import FailedPart, JobType
from offload.jobs.json_documents import model_of
from offload.jobs.metrics import measured
from offload.jobs.models import FINAL, Job, Phase, Status
from offload.jobs.parts import make_parts, part_results
from offload.jobs.services import services
from offload.jobs.worker.assignments import Activity, Slot
from offload.jobs.worker.failure import full_text, public_text
from offload.jobs.worker.kept_end import STORAGE_TIMEOUT_SECONDS, KeptEnd, KeptResult, Spooler
from offload.jobs.worker.left_behind import end_without_descriptors, nothing_left_behind
from offload.jobs.worker.memory_limit import memory_limit
from offload.jobs.worker.outage import retry_while_database_is_down
from offload.jobs.worker.report import Cancelled, LeaseLost, RunningReport
from offload.jobs.worker.saved_result import SavedResult, SaveFailed
from offload.observe.log_context import log_context
from offload.observe.tracing import tracing
from offload.serving.middleware.request_ids import on_behalf_of
from offload.validation_faults import faults_of

logger = logging.getLogger("offload.jobs")

# Writes how a job's function ended. Returns the new row; None where the lease was lost.
WriteEnd = Callable[[], Job | None]


class JobFailed(Exception):
    """A job has failed; its row says why. It is raised so that Flower and Celery count it."""


def execute(
    job_type: JobType[Any, Any], job_id: UUID, worker_id: UUID, slot: Slot, spooler: Spooler
) -> str:
    """Execute one job up to its next state.

    Args:
        slot: this process's record, which says all the time what the process does.
        spooler: keeps the end on this host while the database does not take it.

    Returns:
        The name of that state; `duplicate` where the job was not due, or is of another type;
        `missing` where the database has no such job; `fenced` where another worker has taken it
        over; `unwritten` where the database refuses the end of the job, which the main process then
        reclaims.

    Raises:
        JobFailed: the job has failed; its row has the reason.
    """
    # Before the claim: it costs no attempt. The maintenance publishes the job again.
    end_without_descriptors()
    _listen_to_signals(slot)
    slot.claiming(job_id)
    try:
        return _claim_and_run(job_type, job_id, worker_id, slot, spooler)
    finally:
        slot.idle()


def _claim_and_run(
    job_type: JobType[Any, Any], job_id: UUID, worker_id: UUID, slot: Slot, spooler: Spooler
) -> str:
    job = _claim(job_type, job_id, worker_id)
    if job is None:
        return "duplicate" if _is_there(job_id) else "missing"

    with measured(job), log_context(job.log_fields()), on_behalf_of(job.request_id), traced(job):
        return _run_and_write(job_type, job, slot, spooler)


def _run_and_write(job_type: JobType[Any, Any], job: Job, slot: Slot, spooler: Spooler) -> str:
    started = time.perf_counter()
    slot.computing(job, job_type.limits)
    write_end = _run(job_type, job, slot)
    slot.writing(job)
    try:
        try:
            ended = _write(write_end, job, spooler)
        except SaveFailed as failed:
            ended = _write(_retry_or_fail(job_type, job, failed.__cause__ or failed), job, spooler)
    except Exception as error:
        tracing.record_error(error)
        logger.exception(
            "job %s: the database or file storage refuses its end; the job is started again, or "
            "fails after its last attempt",
            job.pk,
            extra=job.log_fields(),
        )
        return "unwritten"

    if ended is None:
        tracing.set_attribute("offload.job.status", "fenced")
        logger.warning("job %s: another worker has taken over, this result is dropped", job.pk)
        return "fenced"

    tracing.set_attribute("offload.job.status", ended.status)
    services.start_what_waited_for(ended)
    seconds = round(time.perf_counter() - started, 3)
    logger.info("job %s", ended.status, extra=job.log_fields() | {"seconds": seconds})

    if ended.status == Status.FAILED:
        raise JobFailed(ended.error)
    return ended.status


def _write(write_end: WriteEnd, job: Job, spooler: Spooler) -> Job | None:
    with spooler.keeping(write_end):
        return retry_while_database_is_down(write_end, partial(_written, job))


def _listen_to_signals(slot: Slot) -> None:
    """Handle the two signals that the main process sends to a process that computes.

    1. SIGQUIT ends the process at once. billiard's handler would raise SystemExit in the job's
       code, but a worker that shuts down is no failure of the job: its row stays as it is, and the
       main process hands it back. Python's handler would wait for a long call into C, and the
       default action writes a core file. The C library's `_exit` as the handler does neither.
    2. SIGUSR1 is the soft time limit, which only the job's function may see.
    """
    library = ctypes.CDLL(None)
    exit_now = ctypes.cast(library["_exit"], ctypes.c_void_p)
    library.signal(signal.SIGQUIT, exit_now)

    def soft_limit(*_: Any) -> None:
        if slot.activity == Activity.COMPUTING:
            raise SoftTimeLimitExceeded

    signal.signal(signal.SIGUSR1, soft_limit)


def _claim(job_type: JobType[Any, Any], job_id: UUID, worker_id: UUID) -> Job | None:
    pid = os.getpid()

    def claimed() -> Job | None:
        """The row, where the claim was committed and its answer was lost."""
        mine = Job.objects.filter(pk=job_id, worker=worker_id, pid=pid, status=Status.RUNNING)
        return mine.first()

    # A message is a notice that anybody who reaches Redis may write. The row says whose job it is.
    claim = partial(transitions.claim, job_id, worker_id, pid, job_type.name)
    job = retry_while_database_is_down(claim, claimed)
    if job is not None:
        services.events.publish(job)
    return job


def _is_there(job_id: UUID) -> bool:
    """Whether the database has a job. Asked about a message for which nothing was claimed."""
    row = Job.objects.filter(pk=job_id)
    return bool(retry_while_database_is_down(row.exists, lambda: None))


def _written(job: Job) -> Job | None:
    """The row, where the end or the division was committed and its answer was lost."""
    ended = Q(token=job.token, status__in=FINAL)
    divided = Q(token=job.token + 1, status=Status.RUNNING, phase=Phase.PARTS)
    return Job.objects.filter(ended | divided, pk=job.pk).first()


def _run(job_type: JobType[Any, Any], job: Job, slot: Slot) -> WriteEnd:
    """Run the function, and return what writes its end.

    Four cases: the function returned, it was asked to stop, it lost its lease, it raised an error.
    """
    try:
        with memory_limit(job_type.limits.memory_limit), nothing_left_behind(job):
            return _compute(job_type, job, slot)
    except Cancelled:
        return KeptEnd(job, "stop")
    except LeaseLost:
        return lambda: None
    # sys.exit() and MemoryError, too, are failures of the job, not of the worker.
    except BaseException as error:  # noqa: BLE001
        slot.writing(job)
        return _retry_or_fail(job_type, job, error)


def _compute(job_type: JobType[Any, Any], job: Job, slot: Slot) -> WriteEnd:
    """Call the function, or divide the job.

    Three cases: an undivided job, the second claim of a divided job, its first claim.
    """
    params = _params(job_type, job)

    if job_type.part is None:
        result = job_type.function(params, RunningReport(job))
    elif job.phase == Phase.JOIN:
        result = job_type.function(params, _part_results(job_type, job, slot))
    else:
        parts = make_parts(job_type, job, params)
        slot.writing(job)
        return partial(_divide, job, parts, job_type.failed_parts_allowed(len(parts)))

    slot.writing(job)
    document = job_type.result_to_json(result)
    check_handed_on(job, document)
    kept = KeptResult(job, document, slot=slot)
    if job_type.save is None:
        return kept
    return SavedResult(kept, partial(job_type.save, params, result), job, job_type.limits, slot)


def _params(job_type: JobType[Any, Any], job: Job) -> BaseModel:
    try:
        params: BaseModel = model_of(job_type.params, job.params)
    except ValidationError as error:
        # The text of the cause has the parameters, and the log would have its traceback.
        raise JobError(
            f"its parameters do not fit the model {job_type.params.__name__} any more: "
            f"{faults_of(error)}"
        ) from None
    return params


def _part_results(
    job_type: JobType[Any, Any], job: Job, slot: Slot
) -> list[BaseModel | FailedPart]:
    """The results of the parts. The job's time limits begin when they are read."""
    # As during a claim: neither a time limit nor a cancel kills a process that reads rows.
    slot.claiming(job.pk)
    before_file = partial(slot.in_storage, job, STORAGE_TIMEOUT_SECONDS)
    read = partial(part_results, job_type, job, before_file)
    results = retry_while_database_is_down(read, lambda: None)
    slot.computing(job, job_type.limits)
    return results or []


def _divide(job: Job, parts: list[Job], failed_parts_allowed: int) -> Job | None:
    divided = transitions.divide(job, parts, failed_parts_allowed)
    if divided is not None and not divided.final:
        services.dispatch(parts)
    return divided


def _retry_or_fail(job_type: JobType[Any, Any], job: Job, error: BaseException) -> WriteEnd:
    limits = job_type.limits
    reason, detail = public_text(job_type, error), full_text(error)
    tracing.record_error(error)

    if isinstance(error, limits.retry_on) and job.attempts < job.max_attempts:
        delay = limits.delay_before_retry(job.attempts)
        logger.warning(
            "job %s of type %s is tried again in %.1f s: %s",
            job.pk,
            job_type.name,
            delay,
            detail,
            extra=job.log_fields(),
        )
        reason = f"{reason}, attempt {job.attempts} of {job.max_attempts}"
        return KeptEnd(job, "retry", error=reason, delay=delay, detail=detail)

    logger.error(
        "job %s of type %s failed", job.pk, job_type.name, exc_info=error, extra=job.log_fields()
    )
    return KeptEnd(job, "fail", error=reason, detail=detail)
