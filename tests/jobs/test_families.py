"""What happens to the rows of a divided job when one of them ends, on both databases."""

from typing import Any

import pytest

from .conftest import Lab
from .families import claimed, claimed_whole, divided, nested


def states(rows: list[Any]) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


def test_a_cancel_reaches_the_parts_of_parts(lab: Lab) -> None:
    from offload.jobs import transitions

    top, middles, leaves = nested(lab)
    assert transitions.hand_back(leaves[0])
    assert transitions.request_cancel(top.pk).status == "cancelled"
    assert states(middles) == ["cancelled"] * 2
    # No worker holds the first leaf; the others are asked to stop.
    assert states(leaves) == ["cancelled", "running", "running", "running"]
    assert all(leaf.cancel_requested_at for leaf in leaves)


def test_parts_are_inserted_by_several_statements_in_one_transaction(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of one statement for 50,000 parts took a busy worker so long that PostgreSQL ended
    its session, again and again.
    """
    from django.db import DatabaseError, connection

    from offload.jobs import divided as divisions
    from offload.jobs import transitions
    from offload.jobs.models import Job

    inserts: list[int] = []

    def refuse_the_third(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            inserts.append(1)
            if len(inserts) == 3:
                raise DatabaseError("no")
        return execute(sql, *rest)

    monkeypatch.setattr(divisions, "INSERT_BATCH_ROWS", 2)
    whole, parts = claimed_whole(lab, 5)
    with connection.execute_wrapper(refuse_the_third), pytest.raises(DatabaseError):
        transitions.divide(whole, parts)
    assert Job.objects.filter(parent=whole.pk).count() == 0
    assert transitions.divide(whole, parts)
    assert Job.objects.filter(parent=whole.pk).count() == 5


def test_a_leaf_that_fails_fails_all_above_it_and_stops_all_others(lab: Lab) -> None:
    from offload.jobs import transitions

    top, middles, leaves = nested(lab)
    assert transitions.fail(leaves[0], "ValueError")
    assert states([top, *middles]) == ["failed", "failed", "cancelled"]
    assert top.error == "part 1 failed: part 1 failed: ValueError"
    assert states(leaves) == ["failed", "running", "running", "running"]
    assert all(leaf.cancel_requested_at for leaf in leaves[1:])


def test_a_cancelled_part_fails_the_whole_with_the_reason(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 2)
    assert transitions.hand_back(parts[0])
    assert transitions.request_cancel(parts[0].pk).status == "cancelled"
    assert states([whole]) == ["failed"]
    assert whole.error == "part 1 cancelled"


def test_a_second_cancel_changes_nothing(lab: Lab) -> None:
    from offload.jobs import transitions

    _, parts = divided(lab, 1)
    first = transitions.request_cancel(parts[0].pk)
    again = transitions.request_cancel(parts[0].pk)
    assert (first.version, first.cancel_requested_at) == (again.version, again.cancel_requested_at)


def test_a_part_whose_family_was_deleted_changes_nothing(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    _, _, leaves = nested(lab)
    Job.objects.all().delete()
    assert transitions.succeed(leaves[0], {"value": 1}, "") is None
    assert transitions.fail(leaves[1], "ValueError") is None
    assert transitions.hand_back(leaves[2]) is None


async def test_a_job_that_expires_before_its_cancel_is_a_404(lab: Lab) -> None:
    from asgiref.sync import sync_to_async

    from offload.jobs import cancel
    from offload.problems import Problem

    job = await sync_to_async(lab.submit)("lab.burn", units=1)
    await sync_to_async(job.__class__.objects.all().delete)()
    job.pk = job.id
    with pytest.raises(Problem) as refused:
        await cancel(job)
    assert refused.value.status == 404


def test_the_attempt_and_progress_of_a_divided_job_never_go_back(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.parts import update_progress

    whole, parts = divided(lab, 2)
    seen = [(whole.attempts, whole.progress)]

    def report(part: Any, fraction: float) -> None:
        row = transitions.progress(part, fraction, "")
        assert row is not None
        update_progress(row)
        look()

    def look() -> None:
        whole.refresh_from_db()
        seen.append((whole.attempts, whole.progress))

    look()
    report(parts[0], 0.8)
    # It is tried again, and begins at 0.
    assert transitions.retry(parts[0], "a full disk", 0.0)
    parts[0] = claimed(parts[0].pk)
    assert parts[0].progress == 0.0
    report(parts[0], 0.2)
    report(parts[1], 0.9)
    for part in parts:
        transitions.succeed(part, {"value": 1}, "")
        look()
    joined = claimed(whole.pk)
    seen.append((joined.attempts, joined.progress))
    assert seen == sorted(seen)
    assert [progress for _, progress in seen] == [0.0, 0.0, 0.4, 0.4, 0.55, 0.55, 1.0, 1.0]
    assert {attempts for attempts, _ in seen} == {1}


def test_the_progress_of_many_parts_is_counted_the_more_seldom_the_more_there_are(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import parts as module
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    monkeypatch.setattr(module, "PROGRESS_INTERVAL_SECONDS_A_PART", 2.0)
    whole, parts = divided(lab, 2)

    def report(part: Any, fraction: float) -> float | None:
        row = transitions.progress(part, fraction, "")
        assert row is not None
        changed = module.update_progress(row)
        return changed and changed.progress

    assert report(parts[0], 0.2) == 0.1
    assert report(parts[1], 0.2) is None
    # The interval is over. Then: the database's clock was a day ahead, and was put back.
    for seconds, fraction in ((-1.0, 0.4), (86_400.0, 0.6)):
        Job.objects.filter(pk=whole.pk).update(progress_due_at=from_now(seconds))
        assert report(parts[0], fraction) == pytest.approx((fraction + 0.2) / 2)
    assert report(parts[0], 0.8) is None


def test_a_divided_job_that_is_put_together_again_has_another_attempt(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 1)
    transitions.succeed(parts[0], {"value": 1}, "")
    whole.refresh_from_db()
    joined = claimed(whole.pk)
    handed = transitions.hand_back(joined)
    assert handed is not None
    again = claimed(whole.pk)
    assert transitions.reclaim(again, "its process died")
    last = claimed(whole.pk)
    # The division and the join are one attempt. A hand-back takes it back, a death does not.
    assert [row.attempts for row in (whole, joined, handed, again, last)] == [1, 1, 0, 1, 2]
    assert (last.progress, last.phase) == (1.0, "join")


def test_a_job_that_an_older_version_divided_is_put_together_in_its_first_attempt(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    whole, parts = divided(lab, 1)
    transitions.succeed(parts[0], {"value": 1}, "")
    # That version took the attempt back at the division.
    Job.objects.filter(pk=whole.pk).update(attempts=0)
    assert claimed(whole.pk).attempts == 1


def test_a_late_report_of_a_part_does_not_take_progress_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts report at once, and the one that counted first writes last."""
    from offload.jobs import parts as module
    from offload.jobs import transitions

    whole, parts = divided(lab, 2)
    early = transitions.progress(parts[0], 0.2, "")
    update_job = module.update_job

    def overtaken(*where: Any, **values: Any) -> Any:
        monkeypatch.setattr(module, "update_job", update_job)
        row = transitions.progress(parts[1], 0.6, "")
        assert module.update_progress(row)
        return update_job(*where, **values)

    monkeypatch.setattr(module, "update_job", overtaken)
    assert module.update_progress(early) is None
    whole.refresh_from_db()
    assert whole.progress == pytest.approx(0.4)
