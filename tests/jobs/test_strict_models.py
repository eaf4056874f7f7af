"""Models that JSON fits, and plain values do not: a date is a text there."""

from datetime import date
from typing import Any

import pytest

from .conftest import Lab
from .test_failed_parts import finish

PERIOD: dict[str, Any] = {"first": date(2026, 3, 1), "last": date(2026, 3, 31)}


@pytest.mark.parametrize("kind", ["lab.period", "lab.periods"])
def test_a_job_gets_what_was_sent(lab: Lab, kind: str) -> None:
    row = finish(lab.submit(kind, **PERIOD))
    assert (row.error, row.status) == ("", "succeeded")


def test_a_following_job_gets_the_result_and_its_limit_sees_it(lab: Lab) -> None:
    from offload.jobs.models import Job

    first = finish(lab.submit("lab.period", **PERIOD, then=["lab.period"]))
    following = Job.objects.exclude(pk=first.pk).get()
    assert following.limit_key == "lab.period:2026-03-01"
    assert finish(following).status == "succeeded"
