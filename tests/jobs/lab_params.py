"""What many of the lab's jobs take and return, and the limits of most of them."""

from functools import partial

from pydantic import BaseModel

from offload.jobs import MiB, job

# A job with the limits of most of these.
small = partial(job, time_limit=60, memory_limit=256 * MiB)


class Work(BaseModel):
    log: str
    units: int = 100
    weight: float = 1.0
    # The job ends when there is such a file.
    gate: str = ""


class Done(BaseModel):
    value: int


class Text(BaseModel):
    text: str


class Nothing(BaseModel):
    pass
