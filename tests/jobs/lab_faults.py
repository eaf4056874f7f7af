"""The lab's jobs in which something goes wrong: they die, fail, take too long or too much."""

import os

from pydantic import BaseModel, SecretStr

from offload.jobs import JobError, MiB, Report, job

from .params import Done, Nothing, Text, Work, small


class Death(BaseModel):
    log: str
    way: str


@job("lab.gil", time_limit=280, memory_limit=256 * MiB)
def gil(params: Work, report: Report) -> Done:
    from .compute import hold_the_gil

    return Done(value=hold_the_gil(params.log, params.units, report))


@job("lab.silent", time_limit=120, memory_limit=256 * MiB)
def silent(params: Work, report: Report) -> Done:
    from .compute import silent

    return Done(value=silent(params.log, params.units, report, params.gate))


@job("lab.die", time_limit=60, memory_limit=512 * MiB)
def die(params: Death, report: Report) -> Done:
    from .compute import die

    return Done(value=die(params.log, params.way, report))


overtime = job("lab.overtime", time_limit=4, soft_time_limit=2, memory_limit=512 * MiB)(
    die.function
)


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


class Secret(BaseModel):
    key: SecretStr = SecretStr("")
    number: float | None = None


class Numbers(BaseModel):
    values: list[float]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Leaving(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@job("lab.raise", time_limit=30, memory_limit=256 * MiB)
def raise_error(params: Death, report: Report) -> Done:
    """Fail in a way that the name says."""
    match params.way:
        case "a surrogate":
            raise ValueError("no such file: \udcff.csv")
        case "a NUL":
            raise ValueError("a zero: \0")
        case "no text":
            raise Unspeakable
        case "an exit in its text":
            raise Leaving
        case "a huge status":
            raise SystemExit(10**5000)
        case "a secret":
            raise RuntimeError("GET https://upstream/?token=s3cr3t: 401")
        case "for its owner":
            raise JobError("the portfolio is empty: add a holding")
    return Done(value=0)


class Left(BaseModel):
    """What the job leaves behind."""

    log: str
    way: str


@job("lab.leaving", time_limit=30, memory_limit=256 * MiB)
def leaving(params: Left, report: Report) -> Done:
    """Leave something behind in the process."""
    from .compute import fork, leak_descriptors, open_transaction

    if params.way == "open files":
        leak_descriptors()
        return Done(value=0)
    if params.way.startswith("fork"):
        return Done(value=fork(params.log, params.way, report))
    open_transaction(params.way)
    return Done(value=0)


@job("lab.changing", time_limit=30, memory_limit=256 * MiB)
def changing(params: Left, report: Report) -> Text:
    """Change the process or its database session, and tell how the process is."""
    from .compute import change_process, change_session, describe_process

    if " " in params.way:
        change_session(params.way)
        return Text(text="")
    if params.way:
        change_process(params.way)
        return Text(text="")
    return Text(text=describe_process())


@job("lab.refused", time_limit=30, memory_limit=256 * MiB)
def refused(params: Work, report: Report) -> Done:
    """Succeed, and have the database refuse the write as no outage would."""
    from django.db import DataError

    from offload.jobs import transitions

    from .compute import burn

    succeed = transitions.succeed

    def refuse(*_: object) -> None:
        transitions.succeed = succeed
        raise DataError("invalid input syntax")

    transitions.succeed = refuse
    return Done(value=burn(params.log, params.units, report, params.gate))


@job("lab.limited", time_limit=4, memory_limit=256 * MiB)
def limited(params: Work, report: Report) -> Done:
    from .compute import silent

    return Done(value=silent(params.log, params.units, report, params.gate))


softly_limited = job(
    "lab.softly_limited", time_limit=60, soft_time_limit=1.5, memory_limit=256 * MiB
)(limited.function)


@job("lab.stuck", time_limit=30, memory_limit=256 * MiB)
def stuck(params: Work, report: Report) -> Done:
    """Succeed in a process that cannot write any more, as after its files were closed."""
    from django.db import OperationalError

    from offload.jobs import transitions

    from .compute import burn

    def refuse(*_: object) -> None:
        raise OperationalError("locking protocol")

    transitions.succeed = refuse
    return Done(value=burn(params.log, params.units, report, params.gate))


_kept: list[bytearray] = []


@job("lab.hoard", time_limit=30, memory_limit=1024 * MiB)
def hoard(params: Nothing, report: Report) -> Nothing:
    """Leave 300 MiB in the process."""
    _kept.append(bytearray(300 * MiB))
    return params


@job("lab.modest", time_limit=30, memory_limit=256 * MiB)
def modest(params: Nothing, report: Report) -> Done:
    return Done(value=len(bytearray(50 * MiB)))


@small("lab.submitting")
def submitting(params: Nothing, report: Report) -> Nothing:
    """Submit another job, as a Celery task of a service may."""
    from offload.jobs import submit_sync

    submit_sync(modest, Nothing(), owner="lab")
    return params


@job("lab.numbers", time_limit=30, memory_limit=256 * MiB)
def numbers(params: Nothing, report: Report) -> Numbers:
    return Numbers(values=[1.0, float("nan")])


@job("lab.secret", time_limit=30, memory_limit=256 * MiB)
def secret(params: Secret, report: Report) -> Nothing:
    return Nothing()


@job("lab.reads", time_limit=60, memory_limit=256 * MiB)
def reads(params: Work, report: Report) -> Done:
    """Read a file that may be on a mount that hangs."""
    from .compute import read

    return Done(value=read(params.log, params.gate))


reads_soon = job("lab.reads_soon", time_limit=3, memory_limit=256 * MiB)(reads.function)


@job("lab.starts", time_limit=60, memory_limit=256 * MiB)
def starts(params: Work, report: Report) -> Nothing:
    """Start processes, and never end."""
    from .compute import start_others

    start_others(params.log)
    return Nothing()


starts_soon = job("lab.starts_soon", time_limit=3, memory_limit=256 * MiB)(starts.function)


if "LAB_STORAGE_TIMEOUT" in os.environ:
    # The lab's workers wait no minute for file storage.
    from offload.jobs.worker import kept_end

    kept_end.STORAGE_TIMEOUT_SECONDS = float(os.environ["LAB_STORAGE_TIMEOUT"])
if "LAB_STUCK" in os.environ:
    from offload.jobs.worker import kills

    kills.STUCK_SECONDS = float(os.environ["LAB_STUCK"])
