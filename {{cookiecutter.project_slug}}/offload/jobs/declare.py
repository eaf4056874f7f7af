"""`@job` declares a job type: a plain function with its models and limits.

A wrong declaration is an `InvalidJob` when its module is imported.
"""

import inspect
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from celery import current_app
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from offload.conf import conf
from offload.jobs.priority import Priority, PriorityName
from offload.jobs.run_limit import SEPARATOR, RunLimit
from offload.problems import Problem

# An even number of backslashes, and the escape.
ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


class Report(Protocol):
    """What a job's function calls to report its progress.

    It raises `Cancelled` or `LeaseLost` when the function should stop.
    """

    def __call__(self, fraction: float, message: str = "") -> None:
        """Report how far the work is. A call costs little: call it in every loop.

        Args:
            fraction: the share that is done, from 0 to 1.
            message: a short text for the watchers; it is cut at 200 characters.
        """


class JobError(Exception):
    """A job's function raises it to fail with a sentence for the job's owner.

    Clients see its text. Of every other error they see the type only; its text stays in the log and
    in the admin.
    """


# The largest share that chance adds to the delay before another attempt.
RETRY_JITTER = 0.2


class InvalidJob(Exception):
    """A job is declared wrongly; the sentence says what to write instead."""


class UnknownJobType(LookupError):
    """No job type has this name; the sentence lists the names there are."""


class ParamsTooLarge(Problem):
    """413: a job's parameters are too large; the sentence says what to do with large inputs."""


class ParamsUnfit(Problem):
    """422: a job's parameters cannot be read back from JSON, such as a float NaN."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a job type. Times are in seconds, sizes in bytes.

    Args:
        time_limit: seconds until the process is killed and the job fails, without another attempt.
            It ends when the function returns; writing the result does not count.
        memory_limit: bytes of data that the job may add to its process; beyond it `MemoryError`
            fails the job (Linux only).
        queue: `cpu` for computing, `default` for housekeeping.
        priority: `high`, `normal` or `low`: which jobs of a queue workers take first. Within a
            priority, jobs of owners with few waiting jobs come first.
        run_limit: how many jobs run at once, or start in a time, in all workers together; see
            `RunLimit`.
        soft_time_limit: seconds until `SoftTimeLimitExceeded` is raised in the function; 95 % of
            `time_limit` if not given.
        max_attempts: starts in all. A job starts again when its worker dies, or when the function
            raises an error of `retry_on`.
        retry_on: errors worth another attempt (a full disk, not a wrong formula).
        retry_delay: seconds before the second attempt; each further delay is twice as long. Up to
            20 % are added by chance, so that jobs that failed together do not start together.
        retry_delay_max: seconds that no such delay exceeds.
        result_lifetime: seconds until a finished job is deleted; the service's default if not
            given.
        unique: while an owner has an unfinished job with the same parameters, submitting returns
            that job.
        every: seconds between two jobs that the service submits by itself, with the parameters'
            defaults and the owner `schedule`.
    """

    time_limit: float
    memory_limit: int
    queue: str = "cpu"
    priority: PriorityName = "normal"
    run_limit: RunLimit | None = None
    soft_time_limit: float | None = None
    max_attempts: int = 3
    retry_on: tuple[type[Exception], ...] = ()
    retry_delay: float = 5.0
    retry_delay_max: float = 600.0
    result_lifetime: float | None = None
    unique: bool = False
    every: float | None = None

    @property
    def soft_limit(self) -> float:
        """Seconds until the function is asked to end by itself."""
        return self.soft_time_limit or self.time_limit * 0.95

    @property
    def priority_level(self) -> Priority:
        """The priority as rows have it."""
        return Priority.named(self.priority)

    def delay_before_retry(self, attempts: int) -> float:
        """Seconds between a failed attempt and the next one.

        Args:
            attempts: how many attempts have failed.
        """
        delay = min(self.retry_delay * 2.0 ** min(attempts - 1, 60), self.retry_delay_max)
        return min(delay * random.uniform(1.0, 1.0 + RETRY_JITTER), self.retry_delay_max)


@dataclass(frozen=True)
class JobType(Generic[P, R]):
    """A declared type of job: the function, its pydantic models and its limits."""

    name: str
    function: Callable[..., R]
    params: type[P]
    result: type[R]
    limits: Limits
    split: Callable[[Any], Sequence[BaseModel]] | None
    part: "JobType[Any, Any] | None"

    def to_json(self, params: BaseModel) -> str:
        """The parameters as a JSON document that a worker can read back.

        Raises:
            TypeError: the parameters are of another model.
            ParamsTooLarge: the document is over `conf().params_limit` bytes.
            ParamsUnfit: a worker could not read it back.
        """
        if not isinstance(params, self.params):
            raise TypeError(
                f"job {self.name!r} takes {self.params.__name__}, not {type(params).__name__}"
            )

        document = self._dump(params)
        if (size := len(document.encode())) > conf().params_limit:
            raise ParamsTooLarge(
                413,
                f"the parameters of {self.name!r} have {size} bytes, the limit is "
                f"{conf().params_limit}: put large inputs into storage and pass a reference",
            )

        fault = fault_of_json(self.params, params, document)
        if fault is not None:
            raise ParamsUnfit(422, f"the parameters of {self.name!r} {fault}")
        return document

    def result_to_json(self, result: Any) -> str:
        """The result as a JSON document that its readers can read back.

        Raises:
            JobError: the result is of another model, its document is over
                `conf().stored_result_limit` bytes, or it could not be read back.
        """
        if not isinstance(result, self.result):
            raise JobError(
                f"{self.function.__qualname__} returned {type(result).__name__}, "
                f"not {self.result.__name__}"
            )

        document = result.model_dump_json()
        if (size := len(document.encode())) > conf().stored_result_limit:
            size, limit = size // 2**20, conf().stored_result_limit // 2**20
            raise JobError(
                f"a result of {size} MiB is over the limit of {limit} MiB: store it elsewhere"
            )

        fault = fault_of_json(self.result, result, document)
        if fault is not None:
            raise JobError(f"the result of {self.name!r} {fault}")
        return document

    def _dump(self, params: BaseModel) -> str:
        """The JSON document.

        Raises:
            ParamsUnfit: a text has half a character.
        """
        try:
            return params.model_dump_json()
        except PydanticSerializationError as error:
            raise ParamsUnfit(
                422,
                f"the parameters of {self.name!r} have no form in JSON, perhaps for a text with "
                f"half a character (a lone surrogate): {error}",
            ) from error


def fault_of_json(model: type[BaseModel], sent: BaseModel, document: str) -> str | None:
    """Why a reader of `document` would not get the fields that were sent; None if he would."""
    try:
        read = model.model_validate_json(document)
    except ValidationError as error:
        return f"cannot be read back from JSON: {faults_of(error)}. JSON has no NaN and no infinity"

    if has_nul(document):
        return "cannot be stored: PostgreSQL takes no NUL character in a text. Remove it"
    for name in model.model_fields:
        if not _equal(getattr(read, name), getattr(sent, name)):
            return (
                f"cannot be read back from JSON as they went: the field {name!r} differs. JSON has "
                "no NaN and no infinity, and the text of a SecretStr is hidden: send null, or a "
                "reference to the secret"
            )
    return None


def faults_of(error: ValidationError) -> str:
    """A validation's faults in one line, without the inputs."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'all'}: {fault['msg']}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    # Whatever `__eq__` raises.
    except Exception:  # noqa: BLE001
        # Values that cannot be compared, such as arrays, are read back as their own validators say.
        return True


def has_nul(document: str) -> bool:
    """Whether a text in a JSON document has the character NUL, which no text of PostgreSQL has."""
    # A backslash before it may be escaped itself, and then it is no escape.
    return "\\u0000" in document and ESCAPED_NUL.search(document) is not None


# The registry of job types, by name. `@job` fills it while the apps are imported.
_job_types: dict[str, JobType[Any, Any]] = {}


@dataclass(frozen=True)
class job(Limits):  # noqa: N801 - a decorator
    """Declare a job: `@job("feature.name", time_limit=60, memory_limit=512 * MiB)`.

    The function takes a pydantic model and a `Report`, and returns a pydantic model. The keyword
    arguments are those of `Limits`, and these two:

    A divided job names a `split`, which makes a list of parameters for another job, its `part`.
    When all parts have succeeded, the function combines their results: `def name(params:
    ParamsModel, parts: list[PartResult]) -> ResultModel`.

    Args:
        name: the job type's name in rows, Flower and logs. It can never be changed. By custom
            `feature.name`.
        split: makes the parameters of the parts, at least one, from the job's parameters.
        part: the job type that computes one part.

    Raises:
        InvalidJob: an async function, missing or wrong annotations, an unknown queue, or a name
            that is taken.
    """

    name: str
    split: Callable[[Any], Sequence[BaseModel]] | None = None
    part: JobType[Any, Any] | None = None

    def __call__(self, function: Callable[[P, Any], R], /) -> JobType[P, R]:
        """Check the declaration and register the job type."""
        params, result = self._models(function)
        self._check_name(function)
        self._check_limits()
        self._check_order()
        self._check_schedule(params)

        declared = JobType(self.name, function, params, result, self, self.split, self.part)
        _job_types[self.name] = declared
        return declared

    def _models(self, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
        """The function's parameter and result models, read from its annotations."""
        if (self.split is None) != (self.part is None):
            raise InvalidJob(
                f"job {self.name!r}: give both split and part, or neither; split makes the "
                f"parameters of the part"
            )
        if inspect.iscoroutinefunction(function):
            raise InvalidJob(
                f"job {self.name!r} is async: a worker computes. Write `def`, and await upstreams "
                f"in api.py"
            )

        hints = get_type_hints(function)
        names = list(inspect.signature(function).parameters)
        annotated = len(names) == 2 and all(name in hints for name in [*names, "return"])
        if not annotated or hints[names[1]] != self._second_annotation():
            second = f"parts: list[{self.part.result.__name__}]" if self.part else "report: Report"
            raise InvalidJob(
                f"job {self.name!r} must read "
                f"`def name(params: ParamsModel, {second}) -> ResultModel`"
            )

        for role, model in (("parameter", hints[names[0]]), ("result", hints["return"])):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise InvalidJob(
                    f"job {self.name!r}: its {role} must be annotated with a pydantic model, "
                    f"not {model!r}"
                )
        return hints[names[0]], hints["return"]

    def _second_annotation(self) -> Any:
        if self.part is None:
            return Report
        # The model is known at run time only.
        return list[self.part.result]  # type: ignore[name-defined]

    def _check_name(self, function: Callable[..., Any]) -> None:
        if self.name in _job_types:
            other = _job_types[self.name].function
            raise InvalidJob(
                f"job {self.name!r} is declared twice: in {other.__module__} and in "
                f"{function.__module__}"
            )

    def _check_limits(self) -> None:
        if self.time_limit <= 0 or self.memory_limit <= 0 or self.max_attempts < 1:
            raise InvalidJob(
                f"job {self.name!r}: time_limit, memory_limit and max_attempts must be positive"
            )
        if self.soft_time_limit is not None and not 0 < self.soft_time_limit < self.time_limit:
            raise InvalidJob(
                f"job {self.name!r}: soft_time_limit must be between 0 and the time_limit of "
                f"{self.time_limit:g} s, not {self.soft_time_limit:g}"
            )
        if not 0 <= self.retry_delay <= self.retry_delay_max:
            raise InvalidJob(
                f"job {self.name!r}: retry_delay must be between 0 and the retry_delay_max of "
                f"{self.retry_delay_max:g} s, not {self.retry_delay:g}"
            )
        if self.result_lifetime is not None and self.result_lifetime <= 0:
            raise InvalidJob(
                f"job {self.name!r}: result_lifetime must be positive, not {self.result_lifetime:g}"
            )

        queues = current_app.amqp.queues
        if self.queue not in queues:
            raise InvalidJob(
                f"job {self.name!r}: config/celery.py declares no queue {self.queue!r}, only "
                f"{', '.join(queues)}"
            )

    def _check_order(self) -> None:
        try:
            Priority.named(self.priority)
        except ValueError as error:
            raise InvalidJob(f"job {self.name!r}: {error}") from None

        if self.run_limit is None:
            return
        if fault := self.run_limit.fault():
            raise InvalidJob(f"job {self.name!r}: {fault}")
        if SEPARATOR in self.name:
            raise InvalidJob(f"job {self.name!r}: the name of a limited job has no {SEPARATOR!r}")
        name = self.run_limit.name or self.name
        for other in _job_types.values():
            theirs = other.limits.run_limit
            shared = theirs is not None and (theirs.name or other.name) == name
            if theirs is not None and shared and not self.run_limit.same_numbers(theirs):
                raise InvalidJob(
                    f"job {self.name!r} and job {other.name!r} share the limit {name!r}: both "
                    f"must declare the same at_once, rate and period"
                )

    def _check_schedule(self, params: type[BaseModel]) -> None:
        """A periodic job is submitted with the defaults of its parameters."""
        if self.every is None:
            return
        if self.every <= 0:
            raise InvalidJob(
                f"job {self.name!r}: every must be a positive number of seconds, not {self.every:g}"
            )
        try:
            params()
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise InvalidJob(
                f"job {self.name!r} is periodic (every={self.every:g}), so each field of "
                f"{params.__name__} needs a valid default: {fields} has none"
            ) from error


def find_job_type(name: str) -> JobType[Any, Any]:
    """The job type of this name.

    Raises:
        UnknownJobType: no app in this process declares it.
    """
    try:
        return _job_types[name]
    except KeyError:
        raise UnknownJobType(
            f"no job type {name!r}: known are {', '.join(sorted(_job_types)) or 'none'}. "
            f"Is its app in INSTALLED_APPS and the job declared in the app's jobs.py?"
        ) from None


def all_job_types() -> list[JobType[Any, Any]]:
    """Every job type that this process knows."""
    return list(_job_types.values())
