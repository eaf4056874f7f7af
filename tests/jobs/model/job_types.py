"""The model's job types. Nobody computes them: the model ends them."""

from pydantic import BaseModel

from offload.jobs import MiB, Report, RunLimit, job

# The most attempts of each job: the second is the last.
MAX_ATTEMPTS = 2
# So many limited jobs may run at once.
AT_ONCE = 1


class Nothing(BaseModel):
    pass


class Count(BaseModel):
    value: int


def _one(params: Nothing) -> list[Nothing]:
    return [params]


def _two(params: Nothing) -> list[Nothing]:
    return [params, params]


@job("plain", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS)
def plain(params: Nothing, report: Report) -> Count:
    return Count(value=1)


@job(
    "limited",
    time_limit=60,
    memory_limit=MiB,
    max_attempts=MAX_ATTEMPTS,
    run_limit=RunLimit(at_once=AT_ONCE),
)
def limited(params: Nothing, report: Report) -> Count:
    return Count(value=1)


@job("whole", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_two, part=plain)
def whole(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))


@job("middle", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_one, part=plain)
def middle(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))


@job("top", time_limit=60, memory_limit=MiB, max_attempts=MAX_ATTEMPTS, split=_one, part=middle)
def top(params: Nothing, parts: list[Count]) -> Count:
    return Count(value=sum(part.value for part in parts))
