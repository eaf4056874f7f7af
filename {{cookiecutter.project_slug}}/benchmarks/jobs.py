"""The three kinds of work as jobs. Two of them have no business in a worker: what that costs is
measured.
"""

from pydantic import BaseModel

from offload.jobs import MiB
from offload.jobs.kinds import Report, job


class Amount(BaseModel):
    """Milliseconds, rows or rounds, as the work has it."""

    amount: int


class Done(BaseModel):
    """What the work gave."""

    value: int


@job("benchmarks.waiting", time_limit=60, memory_limit=512 * MiB)
def waiting(params: Amount, report: Report) -> Done:
    from benchmarks.work import wait

    return Done(value=wait(params.amount))


@job("benchmarks.orm", time_limit=60, memory_limit=512 * MiB)
def orm(params: Amount, report: Report) -> Done:
    from benchmarks.work import query

    return Done(value=query(params.amount))


@job("benchmarks.computing", time_limit=60, memory_limit=512 * MiB)
def computing(params: Amount, report: Report) -> Done:
    from benchmarks.compute import compute

    return Done(value=compute(params.amount))
