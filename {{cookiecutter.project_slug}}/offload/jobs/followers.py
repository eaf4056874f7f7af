"""The jobs that follow another one: the next one of a chain, and the callback at the end.

    submit(parse, ..., then=[load, index], on_end=notify)

    parse --succeeds--> load --succeeds--> index --succeeds--+
      |                  |                   |               v
      +------------------+-------------------+---ends---> notify

1. The next job's parameters are the result of the one before.
2. The callback goes along the chain. It starts once: when the last job has succeeded, or when one
   has failed or was cancelled. Its parameters are a `JobEnded`.
3. A follower is inserted in the transaction of the end that it follows (`insert_followers`). So it
   exists if that end was written, and exactly once.
4. What a follower's row needs stands in the row before, so that a process that does not know its
   type inserts it, too: a web process that cancels, or an older worker during a deploy.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, ValidationError

from offload.conf import conf
from offload.jobs.blocked import give_ranks
from offload.jobs.declare import find_job_type
from offload.jobs.errors import InvalidJob, JobError, UnknownJobType
from offload.jobs.job_type import JobType
from offload.jobs.json_documents import model_of
from offload.jobs.metrics import count_new
from offload.jobs.models import Job, Status
from offload.validation_faults import faults_of

logger = logging.getLogger("offload.jobs")


class JobEnded(BaseModel):
    """The parameters of a callback: how the job ended that it follows.

    Args:
        id: the job; of a chain the last one that ran.
        kind: its type's name.
        owner: whose job it was, and whose the callback is.
        status: `succeeded`, `failed` or `cancelled`.
        error: why it failed, in words for its owner; else empty.
    """

    id: UUID
    kind: str
    owner: str
    status: str
    error: str


def follower_columns(
    job_type: JobType[Any, Any],
    then: Sequence[JobType[Any, Any]],
    on_end: JobType[Any, Any] | None,
) -> dict[str, Any]:
    """The columns of a job that name its followers.

    Raises:
        InvalidJob: a model does not fit, or the job is unique.
    """
    if not then and on_end is None:
        return {}

    if job_type.limits.unique:
        raise InvalidJob(
            f"job {job_type.name!r} is unique: an unfinished one that is there already would not "
            "have these followers. Submit it alone, or as a later job of a chain"
        )
    for before, after in zip([job_type, *then], then, strict=False):
        if not issubclass(before.result, after.params):
            raise InvalidJob(
                f"job {after.name!r} cannot follow {before.name!r}: it takes "
                f"{after.params.__name__}, and the result before it is {before.result.__name__}"
            )
    if on_end is not None and not issubclass(JobEnded, on_end.params):
        raise InvalidJob(
            f"job {on_end.name!r} cannot be the callback on_end: it takes "
            f"{on_end.params.__name__}, and not JobEnded of offload.jobs"
        )

    return {
        "then": [Job.declared_columns(each) for each in then],
        "on_end": Job.declared_columns(on_end) if on_end else None,
    }


def check_handed_on(job: Job, document: str) -> None:
    """Refuse a result that is too large to be the parameters of the next job.

    Raises:
        JobError: it is over `conf().params_limit` bytes.
    """
    limit = min(conf().params_limit, conf().result_limit)
    if job.then and (size := len(document.encode())) > limit:
        raise JobError(
            f"its result of {size} bytes cannot be the parameters of {job.then[0]['kind']!r}, the "
            f"limit is {limit}: store it elsewhere and return a reference"
        )


def insert_followers(ended: Job) -> None:
    """Insert what follows a job, in the transaction that has just ended it."""
    if followers := followers_of(ended):
        give_ranks(followers)
        Job.objects.bulk_create(followers)
        count_new(followers)


def followers_of(ended: Job) -> list[Job]:
    """The rows that this end starts, unsaved and always with the same ids.

    Three cases: it succeeded within a chain, a callback follows it, nothing does.
    """
    if ended.then and ended.status == Status.SUCCEEDED:
        following, *rest = ended.then
        chain = {"then": rest, "on_end": ended.on_end}
        return [_follower(ended, following, params=ended.result, **chain)]

    if ended.final and ended.on_end:
        told = JobEnded(
            id=ended.pk,
            kind=ended.kind,
            owner=ended.owner,
            status=ended.status,
            error=ended.error,
        )
        return [_follower(ended, ended.on_end, params=told.model_dump(mode="json"))]
    return []


def next_job_id(job: Job) -> UUID | None:
    """The id of the next job of a chain; None where there is none, or not yet."""
    return _follower_id(job) if job.then and job.status == Status.SUCCEEDED else None


def _follower(ended: Job, columns: dict[str, Any], **values: Any) -> Job:
    return Job.declared(
        columns,
        pk=_follower_id(ended),
        owner=ended.owner,
        request_id=ended.request_id,
        traceparent=ended.traceparent,
        limit_key=_limit_key(columns["kind"], ended.owner, values["params"]),
        **values,
    )


def _limit_key(kind: str, owner: str, params: Any) -> str | None:
    """The key of a follower's limit.

    It never raises: then the end of the job before would not be written. Three cases have no key of
    their own:

    1. This process does not know the type, and so no limit of it.
    2. The parameters do not fit the model. A worker will claim the job, and fail it in words.
    3. The function `per` raises an error. All such jobs of the limit share one key.
    """
    try:
        job_type = find_job_type(kind)
    except UnknownJobType:
        return None
    limit = job_type.limits.run_limit
    if limit is None:
        return None

    try:
        return limit.key(kind, owner, model_of(job_type.params, params))
    except Exception as error:
        # The text of a ValidationError has the parameters.
        logger.error(
            "the RunLimit of the job type %r has no key for a job that follows another one; it "
            "shares the limit with all such jobs. Correct `per`, or the parameter model: %s",
            kind,
            faults_of(error) if isinstance(error, ValidationError) else type(error).__name__,
            exc_info=None if isinstance(error, ValidationError) else error,
        )
        return limit.key_of(kind)


def _follower_id(ended: Job) -> UUID:
    # A job that has ended and is started again by hand ends again with a higher version.
    return uuid5(ended.pk, str(ended.version))
