"""The life of a job: each attempt with its reason. Rows are moved by the test."""

from .conftest import Lab
from .families import claimed
from .staff_pages import _no_workers as _no_workers
from .staff_pages import page_of, shift, works
from .test_by_hand import failed
from .test_by_hand_staff import _no_jobs as _no_jobs


def test_a_jobs_life_has_each_attempt_with_its_reason(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    job = lab.submit("lab.burn")
    worker = works()
    ends = (
        lambda row: transitions.retry(row, "the disk is full, attempt 1 of 3", 0.0),
        lambda row: transitions.reclaim(row, "worker lost: signal 9"),
        transitions.hand_back,
        lambda row: transitions.fail(row, "the disk burns", "secret"),
    )
    for end in ends:
        row = transitions.claim(job.pk, worker.pk, 1)
        assert row is not None
        assert end(row)
    row = Job.objects.get(pk=job.pk)
    assert [(each["number"], each["reason"]) for each in row.past_attempts] == [
        (1, "the disk is full, attempt 1 of 3"),
        (2, "worker lost: signal 9, attempt 2 of 3"),
        (3, "handed back: its worker was told to stop"),
    ]
    page = page_of(job)
    places = [
        page.index(text)
        for text in (
            "submitted by lab",
            "attempt 1 by cpu@lab",
            "attempt 2 by cpu@lab",
            "handed back",
            "claimed: attempt 3",
            "failed: the disk burns",
            "is deleted",
        )
    ]
    assert places == sorted(places)


def test_a_jobs_life_remembers_who_retried_it_and_is_bounded(lab: Lab) -> None:
    from offload.jobs import by_hand, transitions
    from offload.jobs.row_states import MAX_PAST_ATTEMPTS, MAX_REASON_LENGTH

    job = failed(lab, log="/dev/null")
    by_hand.retry(job.pk, "anna (admin)")
    page = page_of(job)
    assert "retried by anna (admin); it was failed: the disk is full" in page
    for _ in range(MAX_PAST_ATTEMPTS + 5):
        row = claimed(job.pk)
        row.attempts = 1
        assert transitions.retry(row, "x" * 4000, 0.0)
        shift(job, attempts=0)
    found = shift(job, attempts=0).past_attempts
    assert len(found) == MAX_PAST_ATTEMPTS
    assert {len(each["reason"]) for each in found} == {MAX_REASON_LENGTH}


def test_a_job_that_succeeds_at_once_remembers_no_attempt(lab: Lab) -> None:
    from offload.jobs import transitions

    row = claimed(lab.submit("lab.burn").pk)
    assert transitions.succeed(row, {"value": 1}, "")
    done = shift(row, owner="lab")
    assert (done.past_attempts, done.claimed_at) == (None, row.claimed_at)
