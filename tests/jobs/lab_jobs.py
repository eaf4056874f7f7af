"""The lab's jobs."""

import time

from celery import shared_task
from pydantic import BaseModel

from offload.jobs import MiB, Report, job


class Work(BaseModel):
    log: str
    units: int = 100
    weight: float = 1.0


class Death(BaseModel):
    log: str
    way: str


class Done(BaseModel):
    value: int


class Text(BaseModel):
    text: str


class Whole(BaseModel):
    logs: list[str]
    units: int = 30
    stumbles: int = 0


class Nested(BaseModel):
    """The logs of the leaves, by the part that they are a part of."""

    logs: list[list[str]]


class Nothing(BaseModel):
    pass


@job("lab.burn", time_limit=120, memory_limit=256 * MiB)
def burn(params: Work, report: Report) -> Done:
    from .compute import burn

    return Done(value=burn(params.log, params.units, report))


@job("lab.gil", time_limit=120, memory_limit=256 * MiB)
def gil(params: Work, report: Report) -> Done:
    from .compute import hold_the_gil

    return Done(value=hold_the_gil(params.log, params.units, report))


@job("lab.silent", time_limit=120, memory_limit=256 * MiB)
def silent(params: Work, report: Report) -> Done:
    from .compute import silent

    return Done(value=silent(params.log, params.units, report))


@job("lab.die", time_limit=4, soft_time_limit=2, memory_limit=512 * MiB)
def die(params: Death, report: Report) -> Done:
    from .compute import die

    return Done(value=die(params.log, params.way, report))


@job(
    "lab.stumble",
    time_limit=30,
    memory_limit=256 * MiB,
    retry_on=(ConnectionError,),
    retry_delay=0.5,
)
def stumble(params: Work, report: Report) -> Done:
    from .compute import stumble

    return Done(value=stumble(params.log, params.units))


@job("lab.letters", time_limit=60, memory_limit=4096 * MiB)
def letters(params: Work, report: Report) -> Text:
    return Text(text="x" * params.units)


@job("lab.unique", time_limit=60, memory_limit=256 * MiB, unique=True)
def unique(params: Work, report: Report) -> Done:
    from .compute import burn

    return Done(value=burn(params.log, params.units, report))


def divide(params: Whole) -> list[Work]:
    return [Work(log=log, units=params.stumbles or params.units) for log in params.logs]


@job("lab.whole", time_limit=60, memory_limit=256 * MiB, split=divide, part=burn)
def whole(params: Whole, parts: list[Done]) -> Done:
    return Done(value=sum(part.value for part in parts))


def divide_twice(params: Nested) -> list[Whole]:
    return [Whole(logs=logs, units=1) for logs in params.logs]


@job("lab.nested", time_limit=60, memory_limit=256 * MiB, split=divide_twice, part=whole)
def nested(params: Nested, parts: list[Done]) -> Done:
    return Done(value=sum(part.value for part in parts))


def divide_slowly(params: Whole) -> list[Work]:
    # Less than the grace after which a silent job is killed.
    time.sleep(0.6)
    return divide(params)


@job("lab.slowly_divided", time_limit=60, memory_limit=256 * MiB, split=divide_slowly, part=burn)
def slowly_divided(params: Whole, parts: list[Done]) -> Done:
    return whole.function(params, parts)


@job("lab.stumbling", time_limit=60, memory_limit=256 * MiB, split=divide, part=stumble)
def stumbling(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


def divide_in_two(params: Whole) -> list[Work]:
    return [Work(log=log, units=1) for log in params.logs]


@job(
    "lab.kept_briefly",
    time_limit=60,
    memory_limit=256 * MiB,
    retry_on=(ConnectionError,),
    result_lifetime=60,
)
def kept_briefly(params: Work, report: Report) -> Done:
    from .compute import burn

    return Done(value=burn(params.log, params.units, report))


@job(
    "lab.kept_briefly_whole",
    time_limit=60,
    memory_limit=256 * MiB,
    result_lifetime=120,
    split=divide_in_two,
    part=kept_briefly,
)
def kept_briefly_whole(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


@job("lab.tick", time_limit=10, memory_limit=256 * MiB, queue="default", every=2.0)
def tick(params: Nothing, report: Report) -> Nothing:
    return params


@shared_task(name="lab.plain")
def plain() -> None:
    """A Celery task as any, to compare with."""
