"""What happens to the rows of a divided job when one of them ends, on both databases."""

from typing import Any

import pytest

from .conftest import Lab
from .families import divided, nested


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
