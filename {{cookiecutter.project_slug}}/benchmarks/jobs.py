"""The three kinds of work as jobs. Waiting and queries do not belong in a worker: see the cost."""

import time

from pydantic import BaseModel

from offload.jobs import MiB, Report, job


class Amount(BaseModel):
    """How much work: milliseconds, rows or rounds."""

    amount: int


class Done(BaseModel):
    """The result of the work."""

    value: int


@job("benchmarks.waiting", time_limit=60, memory_limit=512 * MiB)
def waiting(params: Amount, report: Report) -> Done:
    # offload: allow OFF604: the benchmark measures what waiting and queries cost in a worker
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


@job("benchmarks.reporting", time_limit=600, memory_limit=512 * MiB)
def reporting(params: Amount, report: Report) -> Done:
    for number in range(params.amount):
        report(number / params.amount)
        time.sleep(0.5)
    return Done(value=params.amount)
