"""Retries and discards that meet other transitions at the same moment (PostgreSQL)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .conftest import Lab
from .families import claimed, divided, nested
from .test_by_hand import discard, failed, retry
from .test_contention import _postgres as _postgres
from .test_contention import at_once
from .test_families import states

ROUNDS = 10


def problems(results: list[Any]) -> list[int]:
    """The answers of refused actions. Any other error is a defect."""
    from offload.problems import Problem

    wrong = [each for each in results if isinstance(each, Exception)]
    assert all(isinstance(each, Problem) for each in wrong), wrong
    return [each.status for each in wrong]


def test_of_two_retries_one_is_done(lab: Lab) -> None:
    for _ in range(ROUNDS):
        job = failed(lab, log="/dev/null")
        assert problems(at_once(partial(retry, job), partial(retry, job))) == [409]
        assert states([job]) == ["queued"]


def test_of_a_retry_and_a_discard_one_is_done(lab: Lab) -> None:
    from offload.jobs.models import Job

    for _ in range(ROUNDS):
        job = failed(lab, log="/dev/null")
        refused = problems(at_once(partial(retry, job), partial(discard, job)))
        left = Job.objects.filter(pk=job.pk).values_list("status", flat=True).first()
        assert (refused, left) in (([409], "queued"), ([404], None))


def test_of_two_discards_one_is_done(lab: Lab) -> None:
    from offload.jobs.models import Job

    for _ in range(ROUNDS):
        job = failed(lab, log="/dev/null")
        assert problems(at_once(partial(discard, job), partial(discard, job))) == [404]
        assert not Job.objects.filter(pk=job.pk).exists()


def test_a_retry_beside_a_purge_is_whole_or_a_404(lab: Lab, monkeypatch: Any) -> None:
    from offload.jobs import by_hand, transitions
    from offload.jobs.maintenance import prune
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    # Several batches for one family.
    monkeypatch.setattr(prune, "DELETE_BATCH_ROWS", 2)
    monkeypatch.setattr(by_hand, "DELETE_BATCH_ROWS", 2)
    for _ in range(ROUNDS):
        whole, parts = divided(lab, 4)
        assert transitions.fail(parts[0], "ValueError")
        Job.objects.filter(pk=whole.pk).update(expires_at=from_now(-60))
        refused = problems(at_once(partial(retry, whole), prune.Prune().run))

        left = Job.objects.filter(pk=whole.pk).first()
        parts_left = Job.objects.filter(parent=whole).count()
        if refused:
            assert (refused, left, parts_left) == ([404], None, 0)
        else:
            assert left is not None
            assert (left.phase, parts_left) in (("parts", 4), ("", 0))


def test_a_retry_beside_the_end_of_a_late_part_loses_nothing(lab: Lab) -> None:
    from offload.jobs import transitions

    ends: list[Callable[[Any], Any]] = [
        lambda part: transitions.succeed(part, {"value": 1}, ""),
        transitions.stop,
        lambda part: transitions.fail(part, "ValueError"),
        lambda part: transitions.reclaim(part, "worker lost"),
    ]
    for end in ends * 3:
        whole, parts = divided(lab, 3)
        assert transitions.fail(parts[0], "ValueError")
        results = at_once(partial(retry, whole), *[partial(end, part) for part in parts[1:]])
        assert problems(results) == []

        # Whatever came first: nothing of the old attempt stops the new one.
        whole.refresh_from_db()
        assert (whole.status, whole.phase) == ("running", "parts")
        for part in whole.parts.exclude(status="succeeded"):
            assert part.status == "queued"
            assert transitions.succeed(claimed(part.pk), {"value": 1}, "")
        assert claimed(whole.pk).phase == "join"


def test_parts_that_are_retried_together_never_deadlock(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(5):
        top, middles, leaves = nested(lab)
        for leaf in leaves:
            transitions.fail(leaf, "ValueError")
        refused = problems(at_once(*[partial(retry, leaf) for leaf in leaves]))
        # The first brings all of them back.
        assert refused == [409] * 3
        assert states([top, *middles, *leaves]) == ["running"] * 3 + ["queued"] * 4


def test_a_cancel_beside_a_retry_is_never_lost(lab: Lab) -> None:
    from offload.jobs import transitions

    for _ in range(ROUNDS):
        whole, parts = divided(lab, 3)
        assert transitions.fail(parts[0], "ValueError")
        results = at_once(partial(retry, whole), partial(transitions.request_cancel, whole.pk))
        assert problems(results) == []
        # A cancel that came first found a job that had ended.
        whole.refresh_from_db()
        unfinished = whole.parts.filter(status="queued").count()
        assert (whole.status, unfinished) in (("cancelled", 0), ("running", 3))


def test_a_unique_job_that_is_retried_beside_a_submit_is_there_once(lab: Lab) -> None:
    from offload.jobs.models import Job

    for _ in range(ROUNDS):
        first = failed(lab, "lab.unique", log="/dev/null")
        results = at_once(partial(retry, first), partial(lab.submit, "lab.unique", log="/dev/null"))
        assert problems(results) in ([], [409])
        assert Job.objects.filter(status="queued").count() == 1
        Job.objects.all().delete()
