"""The jobs of a random life (`test_life.py`). Each execution notes its token, at its start and at
its end.
"""

import time
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Router
from pydantic import BaseModel

from offload.access import caller
from offload.jobs import (
    Idempotency,
    JobEnded,
    JobError,
    JobView,
    MiB,
    Report,
    RunLimit,
    accepted,
    job,
    submit,
)

router = Router()

# So many jobs of `life.limited` run at once: one, so that a second one is seen soon.
AT_ONCE = 1


class Chore(BaseModel):
    """A small job.

    Args:
        log: the file that its executions append to.
        units: how much it computes, 10 ms each; its result.
        stumbles: how many executions raise an error worth another attempt.
        broken: whether it fails for good.
        silent: whether it never reports.
    """

    log: str
    units: int = 1
    stumbles: int = 0
    broken: bool = False
    silent: bool = False


class Batch(BaseModel):
    parts: list[Chore]


class Sum(BaseModel):
    """A result.

    Args:
        token: the fencing token of the execution that made it; 0 of a combined one.
    """

    value: int
    token: int = 0


class Told(BaseModel):
    pass


def _token_of(report: Any) -> int:
    """The fencing token of this execution, which no job's function needs to know."""
    token: int = report._job.token
    return token


@job(
    "life.chore",
    time_limit=600,
    memory_limit=256 * MiB,
    max_attempts=4,
    retry_on=(ConnectionError,),
    retry_delay=0.3,
)
def chore(params: Chore, report: Report) -> Sum:
    token, log = _token_of(report), Path(params.log)

    def note(line: str) -> None:
        # O_APPEND: lines of several processes never mix.
        with log.open("a") as file:
            file.write(f"{line} {token} {time.time():.3f}\n")

    note("start")
    value = 0
    for unit in range(params.units):
        if not params.silent:
            report(unit / params.units)
        value += sum(i for i in range(200_000)) > 0
        time.sleep(0.01)
    if log.read_text().count("start") <= params.stumbles:
        raise ConnectionError("the disk is away for a moment")
    if params.broken:
        raise JobError("broken on purpose")
    note("end")
    return Sum(value=value, token=token)


@job(
    "life.limited",
    time_limit=600,
    memory_limit=256 * MiB,
    max_attempts=4,
    retry_on=(ConnectionError,),
    retry_delay=0.3,
    run_limit=RunLimit(at_once=AT_ONCE),
)
def limited(params: Chore, report: Report) -> Sum:
    return chore.function(params, report)


@job("life.next", time_limit=600, memory_limit=256 * MiB, max_attempts=20)
def following(params: Sum, report: Report) -> Sum:
    return Sum(value=params.value + 1, token=_token_of(report))


@job("life.told", time_limit=600, memory_limit=256 * MiB, max_attempts=20)
def told(params: JobEnded, report: Report) -> Told:
    return Told()


def _divide(params: Batch) -> list[Chore]:
    return params.parts


@job(
    "life.batch",
    time_limit=600,
    memory_limit=256 * MiB,
    max_attempts=4,
    split=_divide,
    part=chore,
)
def batch(params: Batch, parts: list[Sum]) -> Sum:
    return Sum(value=sum(part.value for part in parts))


@router.post("/chore", response={202: JobView})
async def post_chore(request: HttpRequest, body: Chore) -> HttpResponse:
    key = Idempotency.of(request)
    return await accepted(await submit(chore, body, owner=caller(request), idempotency=key))


@router.post("/limited", response={202: JobView})
async def post_limited(request: HttpRequest, body: Chore) -> HttpResponse:
    key = Idempotency.of(request)
    return await accepted(await submit(limited, body, owner=caller(request), idempotency=key))


@router.post("/chain", response={202: JobView})
async def post_chain(request: HttpRequest, body: Chore) -> HttpResponse:
    """A chore, another job after its success, and a callback at the end of the two."""
    key = Idempotency.of(request)
    first = await submit(
        chore, body, owner=caller(request), idempotency=key, then=[following], on_end=told
    )
    return await accepted(first)


@router.post("/batch", response={202: JobView})
async def post_batch(request: HttpRequest, body: Batch) -> HttpResponse:
    key = Idempotency.of(request)
    return await accepted(await submit(batch, body, owner=caller(request), idempotency=key))
