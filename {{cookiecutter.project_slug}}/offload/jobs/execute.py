"""The worker process's part: claim, run the function, finish. Any way out of the function ends in
one transition.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, InterfaceError, connections
from pydantic import BaseModel, ValidationError

from offload.conf import conf
from offload.jobs import events, relay, transitions
from offload.jobs.models import Job, Phase, Status
from offload.jobs.rows import new_row, result_of

if TYPE_CHECKING:
    from offload.jobs.kinds import JobKind

log = logging.getLogger("offload.jobs")

# Set once in the worker's main process and inherited by every forked child: who holds the leases.
WORKER_ID = uuid.uuid4()

T = TypeVar("T")


class JobFailed(Exception):
    """A job ended as failed; the row says why. Raised so that Flower and Celery's metrics count it."""


class Cancelled(BaseException):
    """Raised by `report()` in a job that was asked to stop. No `Exception`: a job's `except
    Exception` lets it by.
    """


class LeaseLost(BaseException):
    """Raised by `report()` when another worker has taken the job over: what this one computes no
    longer counts.
    """


def execute(kind: "JobKind[Any, Any]", job_id: str) -> str:
    """Run one job to its next state and return that state's name; `duplicate` where there was
    nothing to do.

    Raises:
        JobFailed: the job failed; the row holds the reason.
    """
    # billiard's handler raises SystemExit in the job's code, but a worker that shuts down is no
    # failure of the job. Dying at once leaves the row as it is, for the main process to hand back.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    claimed = _insist(lambda: transitions.claim(uuid.UUID(job_id), WORKER_ID, os.getpid()))
    if claimed is None:
        return "duplicate"
    job: Job = claimed
    events.publish(job)
    lifetime = kind.result_lifetime or conf().result_lifetime
    started = time.perf_counter()
    try:
        with _memory_limit(kind.memory_limit):
            ended = _compute(kind, job, lifetime)
    except Cancelled:
        ended = _insist(lambda: transitions.stop(job, lifetime))
    except LeaseLost:
        ended = None
    except BaseException as error:  # noqa: BLE001 - sys.exit() and MemoryError are failures of the job, not of the worker
        ended = _settle_error(kind, job, error, lifetime)
    if ended is None:
        log.warning("job %s: another worker has taken over, this result is dropped", job_id)
        return "fenced"
    events.publish(ended)
    if ended.parent_id and ended.final:
        _tell_parent(ended.parent_id)
    seconds = round(time.perf_counter() - started, 3)
    log.info("job %s", ended.status, extra=job.facts() | {"seconds": seconds})
    if ended.status == Status.FAILED:
        raise JobFailed(ended.error)
    return ended.status


def _compute(kind: "JobKind[Any, Any]", job: Job, lifetime: float) -> Job | None:
    params = kind.params.model_validate(job.params)
    if kind.part is None:
        result = kind.function(params, _reporter(job))
    elif job.phase == Phase.JOIN:
        model = kind.part.result
        parts = [model.model_validate(result_of(part)) for part in job.parts.order_by("number")]
        result = kind.function(params, parts)
    else:
        return _divide(kind, job, params)
    inline, file = _keep(kind, job, result)
    return _insist(lambda: transitions.succeed(job, inline, file, lifetime))


def _divide(kind: "JobKind[Any, Any]", job: Job, params: BaseModel) -> Job | None:
    assert kind.split is not None
    assert kind.part is not None
    parts = [
        new_row(kind.part, each, job.owner, parent=job, number=number, request_id=job.request_id)
        for number, each in enumerate(kind.split(params), 1)
    ]
    if not parts:
        raise ValueError(f"{kind.kind!r} was divided into no parts: split must give at least one")
    divided = _insist(lambda: transitions.divide(job, parts))
    if divided is not None and not divided.final:
        relay.ring(parts)
    return divided


def _tell_parent(parent_id: uuid.UUID) -> None:
    parent = Job.objects.get(pk=parent_id)
    events.publish(parent)
    if parent.phase == Phase.JOIN:
        relay.ring([parent])


def _settle_error(
    kind: "JobKind[Any, Any]", job: Job, error: BaseException, lifetime: float
) -> Job | None:
    if isinstance(error, kind.retry_on) and job.attempts < job.max_attempts:
        delay = kind.retry_delay * 2 ** (job.attempts - 1)
        reason = f"{_in_words(kind, error)}, attempt {job.attempts} of {job.max_attempts}"
        return _insist(lambda: transitions.retry(job, reason, delay))
    log.error("job %s of kind %s failed", job.pk, kind.kind, exc_info=error, extra=job.facts())
    return _insist(lambda: transitions.fail(job, _in_words(kind, error), lifetime))


def _in_words(kind: "JobKind[Any, Any]", error: BaseException) -> str:
    match error:
        case SoftTimeLimitExceeded():
            return f"time limit: still running after {kind.soft_time_limit:g} s"
        case MemoryError():
            return f"memory limit: the job needed more than {kind.memory_limit // 2**20} MiB"
        case SystemExit():
            return f"the job called sys.exit({error.code!r})"
        case ValidationError():
            return f"parameters or result do not fit their model: {error}"
    return f"{type(error).__name__}: {error}"


def _reporter(job: Job) -> Callable[..., None]:
    """The `report` handed to the function: throttled, so that calling it in a tight loop costs a
    clock read.
    """
    interval = conf().report_interval
    due = time.monotonic()

    def report(fraction: float, message: str = "") -> None:
        nonlocal due
        now = time.monotonic()
        if now < due:
            return
        due = now + interval
        try:
            row = transitions.progress(job, min(max(fraction, 0.0), 1.0), message[:200])
        except (DatabaseError, InterfaceError):
            # Progress is worth no failure: the lease decides.
            connections.close_all()
            log.warning(
                "job %s: progress not written, the database is away", job.pk, extra=job.facts()
            )
            return
        if row is None:
            raise LeaseLost
        if row.cancel_requested_at:
            raise Cancelled
        events.publish(row)
        if whole := transitions.parts_progress(row):
            events.publish(whole)

    return report


def _keep(kind: "JobKind[Any, Any]", job: Job, result: Any) -> tuple[Any, str]:
    """The result as JSON for its row, or its file's name where it is large."""
    if not isinstance(result, kind.result):
        raise TypeError(
            f"{kind.function.__qualname__} returned {type(result).__name__}, not {kind.result.__name__}"
        )
    model: BaseModel = result
    document = model.model_dump_json()
    if len(document) <= conf().result_limit:
        return json.loads(document), ""
    if len(document) > conf().stored_result_limit:
        size, limit = len(document) // 2**20, conf().stored_result_limit // 2**20
        raise ValueError(
            f"a result of {size} MiB is over the limit of {limit} MiB: store it elsewhere"
        )
    # The token: a fenced-off attempt never overwrites.
    name = f"job-results/{job.pk}-{job.token}.json"
    return None, default_storage.save(name, ContentFile(document.encode()))


def _insist(write: Callable[[], T]) -> T:
    """Try a transition until the database answers: a result must survive a restart of the database
    (5 minutes).
    """
    for attempt in range(10):
        try:
            return write()
        except (DatabaseError, InterfaceError) as error:
            connections.close_all()
            log.warning("the database does not answer (%s), trying again", error)
            time.sleep(min(2.0**attempt * 0.1, 60.0))
    return write()


@contextlib.contextmanager
def _memory_limit(limit: int) -> Iterator[None]:
    """Let the process allocate `limit` bytes of private data; beyond it Python raises
    `MemoryError`.

    RLIMIT_DATA counts private writable mappings since Linux 4.7 (man 2 getrlimit); elsewhere there
    is no such limit, and the container's own is all there is.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
