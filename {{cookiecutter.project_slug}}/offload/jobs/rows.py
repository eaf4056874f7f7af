"""Making a job's row, and reading its result, wherever that is kept."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.core.files.storage import default_storage
from pydantic import BaseModel, ValidationError

from offload.conf import conf
from offload.jobs.models import Job
from offload.problems import Problem

if TYPE_CHECKING:
    from offload.jobs.kinds import JobKind


class ParamsTooLarge(Problem):
    """413: a job's parameters are over the limit; the sentence says what to do with large inputs."""


class ParamsUnfit(Problem):
    """422: a job's parameters do not come back from JSON as they went, such as a float that is not
    a number.
    """


def new_row(kind: "JobKind[Any, Any]", params: BaseModel, owner: str, **values: Any) -> Job:
    """An unsaved row for a job of this kind.

    Raises:
        TypeError: the parameters are of another model.
        ParamsTooLarge: they are over `conf().params_limit` bytes as JSON.
        ParamsUnfit: a worker could not read them back.
    """
    if not isinstance(params, kind.params):
        raise TypeError(
            f"job {kind.kind!r} takes {kind.params.__name__}, not {type(params).__name__}"
        )
    document = params.model_dump_json()
    if len(document) > conf().params_limit:
        raise ParamsTooLarge(
            413,
            f"the parameters of {kind.kind!r} have {len(document)} bytes, the limit is {conf().params_limit}: "
            f"put large inputs into storage and pass a reference",
        )
    try:
        kind.params.model_validate_json(document)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise ParamsUnfit(
            422,
            f"the parameters of {kind.kind!r} do not come back from JSON as they went: {faults}",
        ) from error
    if kind.unique:
        values["unique_key"] = hashlib.sha256(
            f"{kind.kind}\n{owner}\n{document}".encode()
        ).hexdigest()
    return Job(
        kind=kind.kind,
        queue=kind.queue,
        owner=owner,
        params=json.loads(document),
        max_attempts=kind.max_attempts,
        **values,
    )


def result_of(job: Job) -> Any:
    """A job's result as plain JSON data, from its row or from file storage."""
    if not job.result_file:
        return job.result
    with default_storage.open(job.result_file) as file:
        return json.load(file)
