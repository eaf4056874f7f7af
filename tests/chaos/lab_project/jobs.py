"""A job that takes as long as it is told to."""

import time

from pydantic import BaseModel

from offload.jobs import MiB, Report, job


class Nap(BaseModel):
    """How long the job takes, in seconds."""

    seconds: float = 0.0


@job("lab.nap", time_limit=300, memory_limit=512 * MiB)
def nap(params: Nap, report: Report) -> Nap:
    time.sleep(params.seconds)
    return params
