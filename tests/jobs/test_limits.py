"""A limit of what runs at once: a place is taken, kept, and free again however an attempt ends."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .families import claimed, parts_of
from .limited import place_of, submit, succeed
from .test_maintenance import RecordingBroker, run_maintenance


def test_jobs_beyond_the_limit_are_blocked_until_another_ends(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock

    jobs = [submit(lab, "lab.three") for _ in range(5)]
    assert [place_of(job) for job in jobs] == [0, 1, 2, "blocked", "blocked"]
    assert unblock(jobs[0].limit_key) == []

    row = claimed(jobs[1].pk)
    assert row.place == 1
    assert unblock(jobs[0].limit_key) == []
    transitions.succeed(row, {"value": 1}, "")
    assert [job.pk for job in unblock(jobs[0].limit_key)] == [jobs[3].pk]
    assert [place_of(job) for job in jobs[3:]] == [1, "blocked"]


def test_jobs_with_other_keys_have_places_of_their_own(lab: Lab) -> None:
    same = [submit(lab, "lab.by_name", "x") for _ in range(3)]
    assert [place_of(job) for job in same] == [0, 1, "blocked"]
    assert place_of(submit(lab, "lab.by_name", "y" * 1000)) == 0
    assert place_of(submit(lab, "lab.by_name", "a\0b".replace("\0", "\t"))) == 0

    owned = [lab.submit("lab.by_owner", owner=owner, name="a") for owner in ("o", "o", "p")]
    assert [place_of(job) for job in owned] == [0, "blocked", 0]


def fail(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.fail(claimed(job.pk), "wrong")


def stop(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.stop(claimed(job.pk))


def retry(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.retry(claimed(job.pk), "again", delay=60.0)


def cancel_while_due(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.request_cancel(job.pk)


def give_up(job: Any) -> Any:
    from offload.jobs import transitions
    from offload.jobs.row_states import due_or_blocked

    return transitions.give_up(job.pk, "nobody knows it", due_or_blocked())


ENDS: dict[str, Callable[[Any], Any]] = {
    end.__name__: end for end in (succeed, fail, stop, retry, cancel_while_due, give_up)
}


@pytest.mark.parametrize("end", ENDS)
def test_a_place_is_free_however_an_attempt_ends(lab: Lab, end: str) -> None:
    from offload.jobs.blocked import unblock

    jobs = [submit(lab, "lab.three") for _ in range(5)]
    assert ENDS[end](jobs[0]) is not None
    assert [job.pk for job in unblock(jobs[0].limit_key)] == [jobs[3].pk]
    assert place_of(jobs[3]) == 0
    jobs[0].refresh_from_db()
    assert (jobs[0].place, jobs[0].due_at) == (None, None)
    assert unblock(jobs[0].limit_key) == []


@pytest.mark.parametrize("again", ["hand_back", "reclaim"])
def test_a_job_that_lost_its_worker_is_the_next_one(lab: Lab, again: str) -> None:
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock

    jobs = [submit(lab, "lab.three") for _ in range(5)]
    row = claimed(jobs[0].pk)
    back = transitions.hand_back(row) if again == "hand_back" else transitions.reclaim(row, "lost")
    assert back is not None
    assert place_of(jobs[0]) == "blocked"
    assert [job.pk for job in unblock(row.limit_key)] == [jobs[0].pk]
    assert place_of(jobs[0]) == 0


def test_a_blocked_job_is_cancelled_at_once(lab: Lab) -> None:
    from offload.jobs import transitions

    jobs = [submit(lab, "lab.three") for _ in range(4)]
    ended = transitions.request_cancel(jobs[3].pk)
    assert (ended.status, ended.unblock_at, ended.place) == ("cancelled", None, None)
    assert not transitions.claim(jobs[3].pk, uuid4(), 1)


def test_a_divided_job_holds_no_place_while_it_waits_for_its_parts(lab: Lab) -> None:
    """It shares the limit of its parts: with a place it would wait for itself."""
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock

    whole = lab.submit("lab.family", names=["a", "b", "c", "d"])
    others = [submit(lab, "lab.three") for _ in range(2)]
    row = claimed(whole.pk)
    parts = parts_of(row)
    assert transitions.divide(row, parts)
    whole.refresh_from_db()
    assert (whole.place, whole.unblock_at) == (None, None)

    for job in [*others, *parts]:
        unblock(whole.limit_key)
        transitions.succeed(claimed(job.pk), {"value": 1}, "")

    whole.refresh_from_db()
    assert (whole.status, whole.phase, place_of(whole)) == ("running", "join", "blocked")
    assert [job.pk for job in unblock(whole.limit_key)] == [whole.pk]
    ended = transitions.succeed(claimed(whole.pk), {"value": 4}, "")
    assert ended
    assert ended.status == "succeeded"


def test_a_family_with_blocked_parts_is_cancelled_and_fails_as_any_other(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    for end in ("cancelled", "failed"):
        whole = lab.submit("lab.family", names=["a"] * 5)
        row = claimed(whole.pk)
        parts = parts_of(row)
        assert transitions.divide(row, parts)
        run_maintenance(RecordingBroker())
        if end == "cancelled":
            transitions.request_cancel(whole.pk)
        else:
            transitions.fail(claimed(parts[0].pk), "wrong")
        rows = Job.objects.filter(kind__in=("lab.family", "lab.three"))
        assert set(rows.filter(pk=whole.pk).values_list("status", flat=True)) == {end}
        assert not rows.exclude(place=None, due_at=None, unblock_at=None).exists()
