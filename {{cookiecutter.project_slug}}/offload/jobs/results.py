"""Where a job's result is kept: in its row, or in file storage where it is large."""

import json
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from pydantic import BaseModel

from offload.conf import conf
from offload.jobs.declare import JobType
from offload.jobs.models import Job


def store_result(job_type: JobType[Any, Any], job: Job, result: Any) -> tuple[Any, str]:
    """Prepare a result for its row.

    Returns:
        The result as JSON data and no file name; or None and the name of the file that now holds
        the result, where its JSON is over `conf().result_limit` bytes.

    Raises:
        TypeError: the result is of another model.
        ValueError: its JSON is over `conf().stored_result_limit` bytes.
    """
    if not isinstance(result, job_type.result):
        raise TypeError(
            f"{job_type.function.__qualname__} returned {type(result).__name__}, "
            f"not {job_type.result.__name__}"
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

    # With the token in its name, an attempt that lost its lease never overwrites the file of a
    # later attempt.
    name = f"job-results/{job.pk}-{job.token}.json"
    return None, default_storage.save(name, ContentFile(document.encode()))


def load_result(job: Job) -> Any:
    """A job's result as plain JSON data, from its row or from file storage."""
    if not job.result_file:
        return job.result

    with default_storage.open(job.result_file) as file:
        return json.load(file)
