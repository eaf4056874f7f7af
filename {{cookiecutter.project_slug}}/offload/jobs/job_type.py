"""A declared type of job. `declare.py` makes it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from offload.conf import conf
from offload.jobs.errors import JobError, ParamsTooLarge, ParamsUnfit
from offload.jobs.json_documents import fault_of_json, json_of
from offload.jobs.limits import Limits

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class FailedPart:
    """What a divided job gets in place of the result of a part that has none.

    Args:
        number: the part's number, from 1, in the order of `split`.
        status: `failed` or `cancelled`.
        error: why, in words for the job's owner.
    """

    number: int
    status: str
    error: str


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
    max_failed_parts: float = 0.0
    save: Callable[[P, R], None] | None = None

    def failed_parts_allowed(self, parts: int) -> int:
        """How many of so many parts may fail."""
        # 0.29 * 100 is 28.999999999999996.
        return math.floor(self.max_failed_parts * parts + 1e-9)

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

        try:
            document = json_of(params)
        except ValueError as error:
            why = f"{error}: {error.__cause__}"
            raise ParamsUnfit(422, f"the parameters of {self.name!r} {why}") from error
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
            JobError: the result is of another model, has no form in JSON, its document is over
                `conf().stored_result_limit` bytes, or it could not be read back.
        """
        if not isinstance(result, self.result):
            raise JobError(
                f"{self.function.__qualname__} returned {type(result).__name__}, "
                f"not {self.result.__name__}"
            )

        try:
            document = json_of(result)
        except ValueError as error:
            raise JobError(f"the result of {self.name!r} {error}") from error
        if (size := len(document.encode())) > conf().stored_result_limit:
            size, limit = size // 2**20, conf().stored_result_limit // 2**20
            raise JobError(
                f"a result of {size} MiB is over the limit of {limit} MiB: store it elsewhere"
            )

        fault = fault_of_json(self.result, result, document)
        if fault is not None:
            raise JobError(f"the result of {self.name!r} {fault}")
        return document


def scheduled_params(model: type[P], moment: datetime) -> P:
    """The parameters of a periodic job: the defaults, and the moment for a field `scheduled_at`.

    Raises:
        ValidationError: a field has no valid default.
    """
    values: dict[str, Any] = {}
    if "scheduled_at" in model.model_fields:
        values["scheduled_at"] = moment
    return model(**values)
