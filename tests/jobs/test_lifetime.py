"""A finished job is kept for as long as its type says, however it ended."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab

# The lab's types say 60 and 120 seconds; the service's default is 7 days.
BRIEF, BRIEF_WHOLE = timedelta(seconds=60), timedelta(seconds=120)


def claimed(job: Any) -> Any:
    from offload.jobs import transitions

    row = transitions.claim(job.pk, uuid4(), 1)
    assert row is not None
    return row


def asked_to_stop(job: Any) -> Any:
    from offload.jobs import transitions

    transitions.request_cancel(claimed(job).pk)
    job.refresh_from_db()
    return job


def kept_for(job: Any) -> timedelta:
    job.refresh_from_db()
    assert job.final
    kept: timedelta = job.expires_at - job.finished_at
    # SQLite's times have three digits.
    return timedelta(seconds=round(kept.total_seconds(), 1))


def cancelled_in_the_queue(job: Any) -> None:
    from offload.jobs import transitions

    transitions.request_cancel(job.pk)


def stopped_while_it_ran(job: Any) -> None:
    from offload.jobs import transitions

    transitions.stop(asked_to_stop(job))


def handed_back_after_a_cancel(job: Any) -> None:
    from offload.jobs import transitions

    transitions.hand_back(asked_to_stop(job))


def retried_after_a_cancel(job: Any) -> None:
    from offload.jobs import transitions

    transitions.retry(asked_to_stop(job), "the disk is away", 0)


def lost_after_a_cancel(job: Any) -> None:
    from offload.jobs import transitions

    transitions.reclaim(asked_to_stop(job), "worker lost")


def lost_at_its_last_attempt(job: Any) -> None:
    from offload.jobs import transitions

    row = claimed(job)
    row.attempts = row.max_attempts
    transitions.reclaim(row, "worker lost")


def failed(job: Any) -> None:
    from offload.jobs import transitions

    transitions.fail(claimed(job), "ValueError")


def succeeded(job: Any) -> None:
    from offload.jobs import transitions

    transitions.succeed(claimed(job), {"value": 1}, "")


@pytest.mark.parametrize(
    "end",
    [
        cancelled_in_the_queue,
        stopped_while_it_ran,
        handed_back_after_a_cancel,
        retried_after_a_cancel,
        lost_after_a_cancel,
        lost_at_its_last_attempt,
        failed,
        succeeded,
    ],
)
def test_a_job_is_kept_for_its_types_own_lifetime_however_it_ends(lab: Lab, end: Any) -> None:
    job = lab.submit("lab.kept_briefly", units=1)
    end(job)
    assert kept_for(job) == BRIEF


def test_a_job_whose_type_names_no_lifetime_is_kept_for_the_services(lab: Lab) -> None:
    from offload.conf import conf

    job = lab.submit("lab.burn", units=1)
    cancelled_in_the_queue(job)
    assert kept_for(job) == timedelta(seconds=conf().result_lifetime)


def test_a_whole_that_fails_through_a_part_is_kept_for_its_own_lifetime(lab: Lab) -> None:
    whole, parts = divided(lab)
    failed(parts[0])
    assert kept_for(whole) == BRIEF_WHOLE
    assert [kept_for(part) for part in parts] == [BRIEF, BRIEF]


def test_a_cancelled_whole_is_kept_for_its_own_lifetime_and_so_are_its_parts(lab: Lab) -> None:
    whole, parts = divided(lab)
    cancelled_in_the_queue(whole)
    assert kept_for(whole) == BRIEF_WHOLE
    assert [kept_for(part) for part in parts] == [BRIEF, BRIEF]


def divided(lab: Lab) -> tuple[Any, list[Any]]:
    from offload.jobs import transitions
    from offload.jobs.declare import find_job_type
    from offload.jobs.parts import make_parts

    job_type = find_job_type("lab.kept_briefly_whole")
    whole = claimed(lab.submit("lab.kept_briefly_whole", logs=["/dev/null", "/dev/null"]))
    parts = make_parts(job_type, whole, job_type.params.model_validate(whole.params))
    assert transitions.divide(whole, parts)
    return whole, parts
