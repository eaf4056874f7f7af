"""A wrong declaration is refused when its module is imported, in a sentence."""

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel


class Empty(BaseModel):
    pass


class Needy(BaseModel):
    account: str


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.jobs import declare

    monkeypatch.setattr(declare, "_job_types", {})


def declare_with(model: type[BaseModel], **limits: Any) -> Any:
    from offload.jobs import Report, job

    def function(params: Any, report: Any) -> Any:
        return Empty()

    function.__annotations__ = {"params": model, "report": Report, "return": Empty}
    return job("lab.declared", memory_limit=1, **({"time_limit": 10.0} | limits))(function)


@pytest.mark.parametrize(
    ("model", "limits", "sentence"),
    [
        (Needy, {"every": 60.0}, "each field of Needy needs a valid default: account has none"),
        (Empty, {"every": -5.0}, "every must be a positive number of seconds, not -5"),
        (Empty, {"every": 0.0}, "every must be a positive number of seconds, not 0"),
        (Empty, {"soft_time_limit": 99.0}, "soft_time_limit must be between 0 and .* not 99"),
        (Empty, {"soft_time_limit": 0.0}, "soft_time_limit must be between 0 and .* not 0"),
        (Empty, {"retry_delay": -3.0}, "retry_delay must be between 0 and .* not -3"),
        (Empty, {"retry_delay": 700.0}, "retry_delay must be between 0 and .* of 600 s, not 700"),
        (Empty, {"result_lifetime": -1.0}, "result_lifetime must be positive, not -1"),
        (Empty, {"start_within": 0.0}, "start_within must be positive, not 0"),
    ],
)
def test_a_wrong_declaration_is_refused_at_import(
    model: type[BaseModel], limits: dict[str, Any], sentence: str
) -> None:
    from offload.jobs.declare import InvalidJob

    with pytest.raises(InvalidJob, match=sentence):
        declare_with(model, **limits)


def test_jobs_that_failed_together_do_not_start_again_together() -> None:
    limits = declare_with(Empty, retry_delay=5.0).limits
    delays = {limits.delay_before_retry(1) for _ in range(50)}
    assert len(delays) > 40
    assert all(5.0 <= delay <= 6.0 for delay in delays)


def test_the_delay_before_a_retry_doubles_up_to_its_bound() -> None:
    limits = dataclasses.replace(declare_with(Empty).limits, retry_delay_max=60.0)
    assert 20.0 <= limits.delay_before_retry(3) <= 24.0
    assert limits.delay_before_retry(5) == 60.0
    assert limits.delay_before_retry(10_000) == 60.0
