"""The lab's jobs that do what they are told; `lab_faults.py` has the others."""

import time
from datetime import date, datetime

from celery import shared_task
from pydantic import BaseModel, ConfigDict

from offload.jobs import FailedPart, JobEnded, JobError, MiB, Report, RunLimit, job

from . import life as life
from .faults import stumble
from .params import Done, Nothing, Text, Work, small


class Noted(BaseModel):
    log: str
    name: str
    # The job goes on when there is such a file.
    gate: str = ""
    seconds: float = 0.0


class Whole(BaseModel):
    logs: list[str]
    units: int = 30
    stumbles: int = 0
    # The parts end when there is such a file.
    gate: str = ""


class Nested(BaseModel):
    """The logs of the leaves, by the part that they are a part of."""

    logs: list[list[str]]


@job("lab.burn", time_limit=120, memory_limit=256 * MiB)
def burn(params: Work, report: Report) -> Done:
    from .compute import burn

    return Done(value=burn(params.log, params.units, report, params.gate))


@job("lab.noted", time_limit=300, memory_limit=256 * MiB)
def noted(params: Noted, report: Report) -> Done:
    from .compute import note_and_wait

    return Done(value=note_and_wait(params.log, params.name, params.gate, params.seconds))


@small(
    "lab.three",
    max_attempts=20,
    retry_on=(ConnectionError,),
    retry_delay=0.2,
    run_limit=RunLimit(at_once=3),
)
def three(params: Noted, report: Report) -> Done:
    """At most three at once; a name with `stumble` fails its first attempt."""
    return noted.function(params, report)


by_owner = small("lab.by_owner", run_limit=RunLimit(at_once=1, per="owner"))(noted.function)


by_name = small(
    "lab.by_name", run_limit=RunLimit(at_once=2, per=lambda params: params.name, name="upstream")
)(noted.function)


paced = small("lab.paced", run_limit=RunLimit(rate=4, period=1.0))(noted.function)


class Saved(BaseModel):
    log: str
    name: str
    way: str = ""


def save_group(params: Saved, result: Done) -> None:
    from .rows import save_group

    save_group(f"{params.name} {result.value}", params.way, params.log)


@small("lab.saved", retry_on=(ConnectionError,), retry_delay=0.0, save=save_group)
def saved(params: Saved, report: Report) -> Done:
    from .compute import burn

    return Done(value=burn(params.log, 0, report))


saved_soon = job("lab.saved_soon", time_limit=2, memory_limit=256 * MiB, save=save_group)(
    saved.function
)


class Family(BaseModel):
    log: str
    names: list[str]


def divide_family(params: Family) -> list[Noted]:
    return [Noted(log=params.log, name=name) for name in params.names]


@small(
    "lab.family", run_limit=RunLimit(at_once=3, name="lab.three"), split=divide_family, part=three
)
def family(params: Family, parts: list[Done]) -> Done:
    """A divided job that shares the limit of its parts."""
    return Done(value=sum(part.value for part in parts))


@job("lab.letters", time_limit=60, memory_limit=4096 * MiB)
def letters(params: Work, report: Report) -> Text:
    return Text(text="x" * params.units)


@small("lab.increment", result_lifetime=60)
def increment(params: Done, report: Report) -> Done:
    if params.value < 0:
        raise JobError("a negative number")
    return Done(value=params.value + 1)


@small("lab.told", queue="default", max_attempts=5)
def told(params: JobEnded, report: Report) -> Text:
    return Text(text=f"{params.kind} {params.status}: {params.error}")


@small("lab.repeat")
def repeat(params: Text, report: Report) -> Text:
    return params


@job("lab.slow_letters", time_limit=60, memory_limit=512 * MiB)
def slow_letters(params: Work, report: Report) -> Text:
    from .compute import silent

    silent(params.log, params.units, report, params.gate)
    return Text(text="x" * 200_000)


def divide_alike(params: Whole) -> list[Work]:
    return [Work(log=params.logs[0], units=1) for _ in range(2)]


unique = small("lab.unique", unique=True)(burn.function)


@small("lab.twins", split=divide_alike, part=unique)
def twins(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


def divide(params: Whole) -> list[Work]:
    units = params.stumbles or params.units
    return [Work(log=log, units=units, gate=params.gate) for log in params.logs]


@small("lab.whole", split=divide, part=burn)
def whole(params: Whole, parts: list[Done]) -> Done:
    return Done(value=sum(part.value for part in parts))


class Letters(BaseModel):
    """A part for each letter; an x fails."""

    letters: str


class Letter(BaseModel):
    letter: str


@small("lab.letter")
def letter(params: Letter, report: Report) -> Text:
    if params.letter == "x":
        raise JobError("this letter is unknown")
    return Text(text=params.letter.upper())


def spell(params: Letters) -> list[Letter]:
    return [Letter(letter=each) for each in params.letters]


@small("lab.tolerant", split=spell, part=letter, max_failed_parts=0.5)
def tolerant(params: Letters, parts: list[Text | FailedPart]) -> Text:
    words = [
        f"({part.number} {part.status}: {part.error})"
        if isinstance(part, FailedPart)
        else part.text
        for part in parts
    ]
    return Text(text=" ".join(words))


def divide_twice(params: Nested) -> list[Whole]:
    return [Whole(logs=logs, units=1) for logs in params.logs]


@small("lab.nested", split=divide_twice, part=whole)
def nested(params: Nested, parts: list[Done]) -> Done:
    return Done(value=sum(part.value for part in parts))


def divide_at_the_gate(params: Whole) -> list[Work]:
    from .compute import wait_for

    wait_for(params.gate, lambda *_: None)
    return divide(params)


slowly_divided = small("lab.slowly_divided", split=divide_at_the_gate, part=burn)(whole.function)


@small("lab.stumbling", split=divide, part=stumble)
def stumbling(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


def divide_in_two(params: Whole) -> list[Work]:
    return [Work(log=log, units=1) for log in params.logs]


class Period(BaseModel):
    """Pydantic takes no text for the date of such a model, unless it reads JSON."""

    model_config = ConfigDict(strict=True)

    first: date
    last: date | str


@small("lab.period", run_limit=RunLimit(at_once=9, per=lambda params: params.first.isoformat()))
def period(params: Period, report: Report) -> Period:
    return params


@small("lab.periods", split=lambda params: [params, params], part=period)
def periods(params: Period, parts: list[Period]) -> Period:
    assert parts == [params, params]
    return params


kept_briefly = small("lab.kept_briefly", retry_on=(ConnectionError,), result_lifetime=60)(
    burn.function
)


@small("lab.kept_briefly_whole", result_lifetime=120, split=divide_in_two, part=kept_briefly)
def kept_briefly_whole(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


prompt = small("lab.prompt", start_within=3600)(burn.function)


@small("lab.prompt_whole", split=divide, part=prompt)
def prompt_whole(params: Whole, parts: list[Done]) -> Done:
    return Done(value=len(parts))


@job("lab.tick", time_limit=10, memory_limit=256 * MiB, queue="default", every=2.0)
def tick(params: Nothing, report: Report) -> Nothing:
    return params


@shared_task(name="lab.plain")
def plain() -> None:
    """A Celery task as any, to compare with."""


class Steps(BaseModel):
    log: str
    steps: int = 5
    # What happens in the middle: `error` or `kill`.
    accident: str = ""


@small("lab.stepwise", retry_on=(ConnectionError,), retry_delay=0.0)
def stepwise(params: Steps, report: Report) -> Done:
    """Write each step down, and go on behind the last checkpoint."""
    from .compute import step

    first = report.state["next"] if report.state else 0
    for number in range(first, params.steps):
        step(params.log, number, params.accident)
        # Longer than the interval of reports, which a test makes short.
        time.sleep(0.02)
        report(number / params.steps, state={"next": number + 1})
    return Done(value=first)


class Moment(BaseModel):
    scheduled_at: datetime


@job("lab.nightly", time_limit=10, memory_limit=256 * MiB, cron="0 2 * * *", timezone="UTC")
def nightly(params: Moment, report: Report) -> Nothing:
    return Nothing()
