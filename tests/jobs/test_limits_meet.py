"""Limits meet followers, retries by hand, pauses, start times and cancels, on both databases."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .families import claimed, parts_of
from .limited import place_of, submit
from .test_by_hand import retry
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import quiet as quiet
from .test_pauses import pause, resume
from .test_start_times import shift

HOUR = timedelta(hours=1)


def limit_type(monkeypatch: pytest.MonkeyPatch, name: str, **limit: Any) -> None:
    """Declare a job type of the lab with a limit."""
    from offload.jobs import RunLimit, declare

    found = declare.find_job_type(name)
    limits = dataclasses.replace(found.limits, run_limit=RunLimit(**limit))
    monkeypatch.setitem(declare._job_types, name, dataclasses.replace(found, limits=limits))


def jobs_of(kind: str) -> list[Any]:
    from offload.jobs.models import Job

    return list(Job.objects.filter(kind=kind).order_by("created_at", "pk"))


def held(kind: str) -> int:
    """How many places the jobs of a type have."""
    from offload.jobs.models import Job

    return Job.objects.filter(kind=kind, place__isnull=False).count()


def maintain() -> list[str]:
    """One run of all duties; the ids that it published."""
    broker = RecordingBroker()
    run_maintenance(broker)
    return broker.published


# --- followers ---


def test_a_follower_waits_for_a_place_as_any_other_job(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions
    from offload.jobs.services import services

    limit_type(monkeypatch, "lab.increment", at_once=1)
    for _ in range(2):
        job = claimed(lab.submit("lab.burn", units=1, then=["lab.increment"]).pk)
        ended = transitions.succeed(job, {"value": 1}, "")
        assert ended
        services.start_what_waited_for(ended)
    assert [place_of(each) for each in jobs_of("lab.increment")] == [0, "blocked"]


@pytest.mark.parametrize("params", [{"value": 1}, {"of an older version": 1}])
@pytest.mark.parametrize("end", ["succeed", "fail"])
def test_a_follower_whose_limit_has_no_key_does_not_keep_the_end_from_being_written(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], end: str
) -> None:
    from offload.jobs import transitions

    for kind in ("lab.increment", "lab.told"):
        limit_type(monkeypatch, kind, at_once=1, per=lambda params: params.no_such_field)
    ends: dict[str, Callable[[Any], Any]] = {
        "succeed": lambda job: transitions.succeed(job, params, ""),
        "fail": lambda job: transitions.fail(job, "no"),
    }
    for _ in range(2):
        job = quiet.submit("lab.burn", units=1, then=["lab.increment"], on_end="lab.told")
        assert ends[end](claimed(job.pk))

    kind = "lab.increment" if end == "succeed" else "lab.told"
    maintain()
    # Those without a key share the limit.
    assert [place_of(each) for each in jobs_of(kind)] == [0, "blocked"]


def test_the_limit_of_a_follower_sees_its_nested_models(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions

    limit_type(monkeypatch, "lab.told", at_once=1, per=lambda params: params.id.hex)
    job = lab.submit("lab.burn", units=1, on_end="lab.told")
    assert transitions.succeed(claimed(job.pk), {"value": 1}, "")
    assert jobs_of("lab.told")[0].limit_key == f"lab.told:{job.pk.hex}"


# --- ends that are written by others than the worker's process ---


@pytest.mark.parametrize("end", ["reclaim", "time limit", "rescue", "overdue"])
def test_the_maintenance_unblocks_the_next_job_after_an_end_that_it_or_a_main_process_wrote(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    from offload.jobs import transitions
    from offload.jobs.maintenance.rescue_lost import Observation
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    limit_type(monkeypatch, "lab.burn", at_once=1)
    first, second = (quiet.submit("lab.burn", units=1) for _ in range(2))
    Job.objects.filter(pk=first.pk).update(max_attempts=1)
    match end:
        case "reclaim":
            assert transitions.reclaim(claimed(first.pk), "worker lost")
        case "time limit":
            assert transitions.fail(claimed(first.pk), "time limit: killed after 4 s")
        case "rescue":
            claimed(first.pk)
            Job.objects.filter(pk=first.pk).update(lease_until=from_now(-60))
            monkeypatch.setattr(Observation, "seconds", lambda self: 60.0)
        case "overdue":
            Job.objects.filter(pk=first.pk).update(start_before=from_now(-60))
    published = maintain() + maintain()
    first.refresh_from_db()
    assert (first.status, place_of(second)) == ("failed", 0)
    assert str(second.pk) in published


# --- retries by hand ---


def test_jobs_that_are_retried_wait_for_places(lab: Lab) -> None:
    from offload.jobs import transitions

    jobs = [submit(lab, "lab.three") for _ in range(5)]
    for job in jobs:
        transitions.request_cancel(job.pk)
    for job in jobs:
        retry(job)
    assert [place_of(job) for job in jobs] == [0, 1, 2, "blocked", "blocked"]


def test_parts_that_are_retried_wait_for_places(quiet: Lab) -> None:
    from offload.jobs import transitions

    whole = quiet.submit("lab.family", names=["a"] * 5)
    row = claimed(whole.pk)
    parts = parts_of(row)
    assert transitions.divide(row, parts)
    maintain()
    assert held("lab.three") == 3
    # Two compute, one has failed: all are queued again.
    running = [part for part in parts if place_of(part) != "blocked"]
    first, *_ = [claimed(part.pk) for part in running]
    assert transitions.fail(first, "no")

    assert retry(whole).phase == "parts"
    assert {place_of(part) for part in parts} == {"blocked"}
    published = maintain()
    assert held("lab.three") == len(set(published)) == 3
    for _ in parts:
        for part in parts:
            if ended := transitions.claim(part.pk, uuid4(), 1):
                assert transitions.succeed(ended, {"value": 1}, "")
        maintain()
    whole.refresh_from_db()
    assert (whole.phase, whole.place) == ("join", 0)


# --- pauses ---


@pytest.mark.parametrize("target", [{"kind": "lab.three"}, {"queue": "cpu"}])
def test_blocked_jobs_that_are_paused_stay_blocked(quiet: Lab, target: dict[str, str]) -> None:
    jobs = [submit(quiet, "lab.three") for _ in range(3)]
    pause(**target)
    more = submit(quiet, "lab.three")
    assert maintain() == []
    resume(**target)
    published = set(maintain())
    assert {str(job.pk) for job in jobs} <= published
    assert [place_of(job) for job in [*jobs, more]] == [0, 1, 2, "blocked"]


def test_due_jobs_that_are_paused_keep_no_place_from_another_type_of_their_limit(
    quiet: Lab,
) -> None:
    from offload.jobs import transitions

    due = [submit(quiet, "lab.three") for _ in range(3)]
    # It goes on, with its place.
    assert claimed(due[0].pk).place == 0
    pause(kind="lab.three")
    whole = quiet.submit("lab.family", names=["a"])
    assert place_of(whole) == "blocked"
    assert str(whole.pk) in maintain()
    assert place_of(whole) is not None
    assert [place_of(job) for job in due[1:]] == ["blocked", "blocked"]

    transitions.succeed(claimed(whole.pk), {"value": 1}, "")
    resume(kind="lab.three")
    maintain()
    assert [place_of(job) for job in due[1:]] == [1, 2]


# --- start times, priorities ---


def test_a_limited_job_for_later_is_blocked_until_then_and_its_view_says_so(quiet: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type
    from offload.jobs.job_view import summary_of

    three = find_job_type("lab.three")
    run_at = datetime.now(UTC) + HOUR
    later = submit_sync(
        three, three.params(log="x", name="a"), owner="lab", run_at=run_at, priority="high"
    )
    assert maintain() == []
    later.refresh_from_db()
    view = summary_of(later)
    assert (view.blocked_by, view.due_at) == (None, later.unblock_at)
    assert abs(later.unblock_at - run_at) < timedelta(milliseconds=2)
    assert submit(quiet, "lab.three").place == 0

    shift(later, unblock_at=-HOUR - timedelta(seconds=1))
    assert str(later.pk) in maintain()
    assert place_of(later) == 1


def test_a_limited_job_that_is_too_late_fails_and_takes_no_place(quiet: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    three = find_job_type("lab.three")
    before = datetime.now(UTC) + HOUR
    jobs = [
        submit_sync(three, three.params(log="x", name="a"), owner="lab", start_before=before)
        for _ in range(5)
    ]
    for job in (jobs[0], jobs[4]):
        shift(job, start_before=-2 * HOUR)
    maintain()
    maintain()
    assert [place_of(job) for job in jobs] == [None, 1, 2, 0, None]
    assert [jobs[0].status, jobs[4].status] == ["failed", "failed"]


async def test_the_jobs_of_one_submit_have_views_though_some_are_blocked(lab: Lab) -> None:
    from offload.jobs import submit_many
    from offload.jobs.declare import find_job_type
    from offload.jobs.job_view import summary_of

    three = find_job_type("lab.three")
    jobs = await submit_many(three, [three.params(log="x", name="a")] * 4, owner="lab")
    views = [summary_of(job) for job in jobs]
    assert [view.blocked_by is None for view in views] == [True, True, True, False]
    assert all(view.due_at for view in views)


# --- cancels and discards ---


def test_a_cancelled_family_gives_the_places_of_its_parts_to_others(quiet: Lab) -> None:
    from offload.jobs import transitions

    whole = quiet.submit("lab.family", names=["a"] * 3)
    row = claimed(whole.pk)
    assert transitions.divide(row, parts_of(row))
    maintain()
    other = submit(quiet, "lab.three")
    assert place_of(other) == "blocked"
    transitions.request_cancel(whole.pk)
    maintain()
    assert place_of(other) == 0


def test_a_chain_goes_on_after_the_job_before_was_discarded_and_a_middle_is_retried(
    lab: Lab,
) -> None:
    from offload.jobs import transitions
    from offload.jobs.by_hand import discard

    chain: dict[str, Any] = {"then": ["lab.increment"] * 2, "on_end": "lab.told"}
    first = lab.submit("lab.burn", units=1, **chain)
    assert transitions.succeed(claimed(first.pk), {"value": 1}, "")
    discard(first.pk, "the tests")
    (middle,) = jobs_of("lab.increment")
    assert transitions.fail(claimed(middle.pk), "no")
    retry(middle)
    assert transitions.succeed(claimed(middle.pk), {"value": 2}, "")
    (last,) = [job for job in jobs_of("lab.increment") if job.pk != middle.pk]
    assert transitions.succeed(claimed(last.pk), {"value": 3}, "")
    told = [(job.params["id"], job.params["status"]) for job in jobs_of("lab.told")]
    assert told == [(str(middle.pk), "failed"), (str(last.pk), "succeeded")]
