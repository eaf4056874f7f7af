"""`@job` declares a job type: a plain function with its models and limits.

A wrong declaration is an `InvalidJob` when its module is imported.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, get_type_hints

from pydantic import BaseModel, ValidationError

from offload.jobs.errors import InvalidJob, UnknownJobType
from offload.jobs.job_type import FailedPart, JobType, P, R, scheduled_params
from offload.jobs.limits import Limits
from offload.jobs.recurrence import Recurrence
from offload.jobs.run_limit import MAX_NAME_LENGTH


class Report(Protocol):
    """What a job's function calls to report its progress.

    It raises `Cancelled` or `LeaseLost` when the function should stop.

    Attributes:
        state: the checkpoint, which is the last `state` that an earlier attempt reported and the
            database took; None where there is none.
    """

    state: Any

    def __call__(self, fraction: float, message: str = "", state: Any = None) -> None:
        """Report how far the work is. A call costs little: call it in every loop.

        Args:
            fraction: the share that is done, from 0 to 1.
            message: a short text for the watchers; it is cut at 200 characters.
            state: what the next attempt needs to go on from here, as plain JSON data. A state is
                written at most once in `conf().report_interval` seconds; others are dropped.

        Raises:
            TypeError: a state is no plain JSON data.
            ValueError: the JSON of a state is over `conf().checkpoint_limit` bytes.
        """


# The registry of job types, by name. `@job` fills it while the apps are imported.
_job_types: dict[str, JobType[Any, Any]] = {}


@dataclass(frozen=True)
class job(Limits):  # noqa: N801 - a decorator
    """Declare a job: `@job("feature.name", time_limit=60, memory_limit=512 * MiB)`.

    The function takes a pydantic model and a `Report`, and returns a pydantic model. The keyword
    arguments are those of `Limits`, and these:

    A job that saves rows names a function `save`, `def name(params: ParamsModel, result:
    ResultModel) -> None`. A worker calls it after the job's function, in the transaction that ends
    the job: either the rows and the end are in the database, or neither is. It may be called again
    after its rows were rolled back, so it does nothing but save rows. An error of it is an error of
    the job. The time limit counts for it anew.

    A divided job names a `split`, which makes a list of parameters for another job, its `part`.
    When all parts have succeeded, the function combines their results: `def name(params:
    ParamsModel, parts: list[PartResult]) -> ResultModel`. With `max_failed_parts` it has
    `parts: list[PartResult | FailedPart]`, in the order of `split`.

    Args:
        name: the job type's name in rows, Flower and logs. It can never be changed. By custom
            `feature.name`.
        split: makes the parameters of the parts, at least one, from the job's parameters.
        part: the job type that computes one part.
        max_failed_parts: the share of the parts, from 0 to 1, that may fail or be cancelled while
            the job goes on; 0.02 of 99 parts is 1 part. One more fails the job.
        save: saves rows in the transaction that ends the job.

    Raises:
        InvalidJob: an async function, missing or wrong annotations, an unknown queue, or a name
            that is taken.
    """

    name: str
    split: Callable[[Any], Sequence[BaseModel]] | None = None
    part: JobType[Any, Any] | None = None
    max_failed_parts: float = 0.0
    save: Callable[[Any, Any], None] | None = None

    def __call__(self, function: Callable[[P, Any], R], /) -> JobType[P, R]:
        """Check the declaration and register the job type."""
        self._check_division()
        params, result = self._models(function)
        self._check_name(function)
        self.check(self.name)
        self._check_shared_limit()
        self._check_schedule(params)
        self._check_save(params, result)

        declared = JobType(
            self.name,
            function,
            params,
            result,
            self,
            self.split,
            self.part,
            self.max_failed_parts,
            self.save,
        )
        _job_types[self.name] = declared
        return declared

    def _check_division(self) -> None:
        if (self.split is None) != (self.part is None):
            raise InvalidJob(
                f"job {self.name!r}: give both split and part, or neither; split makes the "
                f"parameters of the part"
            )
        if not 0 <= self.max_failed_parts <= 1 or (self.max_failed_parts and self.part is None):
            raise InvalidJob(
                f"job {self.name!r}: max_failed_parts is the share of a divided job's parts that "
                f"may fail, from 0 to 1, not {self.max_failed_parts:g}"
            )

    def _models(self, function: Callable[..., Any]) -> tuple[type[Any], type[Any]]:
        """The function's parameter and result models, read from its annotations."""
        if inspect.iscoroutinefunction(function):
            raise InvalidJob(
                f"job {self.name!r} is async: a worker computes. Write `def`, and await upstreams "
                f"in api.py"
            )

        hints = get_type_hints(function)
        names = list(inspect.signature(function).parameters)
        annotated = len(names) == 2 and all(name in hints for name in [*names, "return"])
        if not annotated or hints[names[1]] != self._second_annotation():
            second = self._second_parameter()
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
        if self.max_failed_parts:
            return list[self.part.result | FailedPart]  # type: ignore[name-defined]
        return list[self.part.result]  # type: ignore[name-defined]

    def _second_parameter(self) -> str:
        if self.part is None:
            return "report: Report"
        failed = " | FailedPart" if self.max_failed_parts else ""
        return f"parts: list[{self.part.result.__name__}{failed}]"

    def _check_name(self, function: Callable[..., Any]) -> None:
        # PostgreSQL takes no NUL, no driver takes half a character, and the column has an end.
        if not 0 < len(self.name) <= MAX_NAME_LENGTH or not self.name.isprintable():
            raise InvalidJob(
                f"job {self.name!r}: a name has 1 to {MAX_NAME_LENGTH} characters, which can all "
                "be printed"
            )
        if self.name in _job_types:
            other = _job_types[self.name].function
            raise InvalidJob(
                f"job {self.name!r} is declared twice: by {_path_of(other)} and by "
                f"{_path_of(function)}"
            )

    def _check_save(self, params: type[BaseModel], result: type[BaseModel]) -> None:
        if self.save is None:
            return
        hints = get_type_hints(self.save)
        taken = [hints.get(name) for name in inspect.signature(self.save).parameters]
        if taken != [params, result] or inspect.iscoroutinefunction(self.save):
            raise InvalidJob(
                f"job {self.name!r}: save must read `def {self.save.__name__}(params: "
                f"{params.__name__}, result: {result.__name__}) -> None`"
            )

    def _check_shared_limit(self) -> None:
        if self.run_limit is None:
            return
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
        if self.recurrence is None:
            return
        try:
            scheduled_params(params, datetime.now(UTC))
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise InvalidJob(
                f"job {self.name!r} is periodic ({self.recurrence}), so each field of "
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


def find_recurrence(name: str) -> Recurrence | None:
    """When the job type of this name comes by itself; None where it does not, or is unknown."""
    job_type = _job_types.get(name)
    return job_type.limits.recurrence if job_type else None


def all_job_types() -> list[JobType[Any, Any]]:
    """Every job type that this process knows."""
    return list(_job_types.values())


def _path_of(function: Callable[..., Any]) -> str:
    """Its module and its name."""
    return f"{function.__module__}.{function.__qualname__}"
