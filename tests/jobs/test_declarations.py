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
        (Empty, {"cron": "0 6 * *"}, "cron '0 6 \\* \\*' must have minute, hour, day of the month"),
        (Empty, {"cron": "0 25 * * *"}, "Invalid end range: 25 > 23"),
        (Empty, {"cron": "-5 6 * * *"}, "must have minute, .* negative numbers not supported"),
        (Empty, {"cron": "0,,5 6 * * *"}, "must have minute, .* empty part"),
        (Empty, {"cron": "0 0 31 2 *"}, "day_of_month '31' never occurs in month_of_year '2'"),
        (Empty, {"cron": "0 0 13 * 5"}, "days of the month and of the week"),
        (Empty, {"cron": "0 6 * * *", "every": 60.0}, "give every or cron, not both"),
        (Empty, {"cron": "0 6 * * *", "timezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        (Empty, {"cron": "0 6 * * *", "timezone": "Europe"}, "no time zone 'Europe'"),
        (Empty, {"cron": "0 6 * * *", "catch_up": "some"}, "none or last or all, not 'some'"),
        (Empty, {"every": 60.0, "overlap": "no"}, "overlap is allow or skip, not 'no'"),
        (Empty, {"every": 60.0, "overlap": "skip", "catch_up": "all"}, "Give one of the two"),
        (Needy, {"cron": "0 6 * * *"}, "each field of Needy needs a valid default: account has"),
        (Empty, {"soft_time_limit": 99.0}, "soft_time_limit must be between 0 and .* not 99"),
        (Empty, {"soft_time_limit": 0.0}, "soft_time_limit must be between 0 and .* not 0"),
        (Empty, {"retry_delay": -3.0}, "retry_delay must be between 0 and .* not -3"),
        (Empty, {"retry_delay": 700.0}, "retry_delay must be between 0 and .* of 600 s, not 700"),
        (Empty, {"result_lifetime": -1.0}, "result_lifetime must be positive, not -1"),
        (Empty, {"start_within": 0.0}, "start_within must be positive, not 0"),
        (Empty, {"start_within": 1e300}, "start_within is at most 3155760000 .* not 1e\\+300"),
        (Empty, {"result_lifetime": float("inf")}, "result_lifetime is at most .*, not inf"),
        (Empty, {"retry_delay_max": float("inf")}, "retry_delay_max is at most .*, not inf"),
        (Empty, {"every": float("inf")}, "every is at most .*, not inf"),
        (Empty, {"every": float("nan")}, "every is at most .*, not nan"),
        (Empty, {"time_limit": float("nan")}, "time_limit is at most .*, not nan"),
        (Empty, {"max_attempts": 32_768}, "max_attempts is at most 32767, not 32768"),
    ],
)
def test_a_wrong_declaration_is_refused_at_import(
    model: type[BaseModel], limits: dict[str, Any], sentence: str
) -> None:
    from offload.jobs.errors import InvalidJob

    with pytest.raises(InvalidJob, match=sentence):
        declare_with(model, **limits)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0b", "a\nb", "\ud800"])
def test_a_name_that_no_column_takes_is_refused_at_import(name: str) -> None:
    from offload.jobs import InvalidJob, MiB, Report, job

    def declared(params: Empty, report: Report) -> Empty:
        return params

    with pytest.raises(InvalidJob, match="a name has 1 to 100 characters"):
        job(name, time_limit=1, memory_limit=MiB)(declared)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_of_failed_parts_is_between_0_and_1(share: float) -> None:
    from offload.jobs import job
    from offload.jobs.errors import InvalidJob

    part = declare_with(Empty)
    limits: Any = {"time_limit": 1, "memory_limit": 1, "split": list, "part": part}
    with pytest.raises(InvalidJob, match=f"from 0 to 1, not {share:g}"):
        job("lab.whole", max_failed_parts=share, **limits)(lambda params, parts: Empty())


def test_a_job_that_is_not_divided_has_no_share_of_failed_parts() -> None:
    from offload.jobs import Report, job
    from offload.jobs.errors import InvalidJob

    def function(params: Empty, report: Report) -> Empty:
        return params

    function.__annotations__ = {"params": Empty, "report": Report, "return": Empty}
    with pytest.raises(InvalidJob, match="a divided job's parts"):
        job("lab.flat", time_limit=1, memory_limit=1, max_failed_parts=0.5)(function)


def test_a_function_whose_parts_may_fail_says_so_in_its_annotation() -> None:
    from offload.jobs import job
    from offload.jobs.errors import InvalidJob

    def function(params: Any, parts: Any) -> Any:
        return Empty()

    function.__annotations__ = {"params": Empty, "parts": list[Empty], "return": Empty}
    limits: Any = {"time_limit": 1, "memory_limit": 1, "split": list, "part": declare_with(Empty)}
    with pytest.raises(InvalidJob, match=r"parts: list\[Empty \| FailedPart\]"):
        job("lab.whole", max_failed_parts=0.5, **limits)(function)


@pytest.mark.parametrize(
    ("share", "parts", "allowed"), [(0.02, 99, 1), (0.02, 49, 0), (0.29, 100, 29), (1.0, 7, 7)]
)
def test_a_share_of_the_parts_is_rounded_down(share: float, parts: int, allowed: int) -> None:
    limited = dataclasses.replace(declare_with(Empty), max_failed_parts=share)
    assert limited.failed_parts_allowed(parts) == allowed


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
