"""Which blocked job is the next one, when a rate lets it start, and what a job's view says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from .conftest import Lab
from .families import claimed
from .limited import fill_places, submit, unblocked


def test_owners_take_turns(lab: Lab) -> None:
    key = fill_places(lab)
    for number in range(30):
        lab.submit("lab.three", owner="large", name=f"{number}")
    assert unblocked(key, 5) == [f"large {number}" for number in range(5)]
    for number in range(3):
        lab.submit("lab.three", owner="small", name=f"{number}")

    found = unblocked(key, 8)
    assert [name for name in found if "small" in name] == ["small 0", "small 1", "small 2"]
    assert found[3:] != [name for name in found if "small" in name]
    assert found.index("small 0") <= 2
    large = [name for name in found if "large" in name]
    assert large == [f"large {number}" for number in range(5, 5 + len(large))]


def test_a_high_priority_is_unblocked_earlier_and_a_low_one_later(lab: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    key = fill_places(lab)
    three = find_job_type("lab.three")

    def add(priority: Any, count: int) -> None:
        params = three.params(log="x", name=priority)
        for _ in range(count):
            submit_sync(three, params, owner="lab", priority=priority)

    add("low", 6)
    add("normal", 12)
    add("high", 2)
    found = unblocked(key, 20)
    assert found[:4].count("lab high") == 2
    # Four normal ones for each low one, and no low one waits for ever.
    assert 2 <= found[:14].count("lab low") <= 4
    assert len(found) == 20


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def test_a_rate_spreads_its_starts_evenly() -> None:
    from offload.jobs.run_limit import RunLimit

    limit, next_start_at, starts = RunLimit(rate=30, period=60.0), None, []
    for look in range(400):
        now = at(look * 0.7)
        count, since = limit.starts_now(next_start_at, now)
        next_start_at = since + timedelta(seconds=count * limit.interval) if count else since
        starts += [now] * count
    # One every two seconds, none together with another.
    assert 139 <= len(starts) <= 141
    assert max(sum(a <= b < a + timedelta(seconds=60) for b in starts) for a in starts) <= 31

    quick = RunLimit(rate=100, period=1.0)
    assert quick.burst == 200
    assert quick.starts_now(None, at(0))[0] == 200
    assert quick.starts_now(at(0), at(1.0))[0] == 101
    assert quick.starts_now(at(0), at(3600.0))[0] == 200
    assert quick.starts_now(at(0.1), at(0.0))[0] == 0
    # A clock that was put back.
    assert quick.starts_now(at(3600.0), at(0.0)) == (1, at(0.0))


def test_a_rate_holds_although_workers_were_busy(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock
    from offload.jobs.models import Job, RunLimitKey
    from offload.jobs.row_states import from_now

    jobs = [submit(lab, "lab.paced") for _ in range(30)]
    key = jobs[0].limit_key
    due = Job.objects.filter(limit_key=key, due_at__isnull=False)
    # The starts of two seconds.
    assert due.count() == 8

    RunLimitKey.objects.update(next_start_at=from_now(-60))
    # No worker has taken those: others would start together with them.
    assert unblock(key) == []
    for job in due[:2]:
        transitions.succeed(claimed(job.pk), {"value": 1}, "")
    assert len(unblock(key)) == 2
    assert due.count() == 8


async def test_the_view_of_a_job_says_what_blocks_it_and_when_a_rate_lets_it_start(
    lab: Lab,
) -> None:
    from offload.jobs.job_view import summary_of, view_of
    from offload.jobs.models import RunLimitKey

    three, paced = await sync_to_async(
        lambda: (
            [submit(lab, "lab.three") for _ in range(4)],
            [submit(lab, "lab.paced") for _ in range(20)],
        )
    )()
    assert [summary_of(job).blocked_by for job in three[2:]] == [
        None,
        "blocked by limit: at most 3 at once",
    ]
    # Nobody knows when a running job ends.
    assert (await view_of(three[3])).expected_start_seconds is None

    await RunLimitKey.objects.aupdate(next_start_at=None)
    views = [await view_of(job) for job in paced]
    assert {view.blocked_by for view in views[8:]} == {"blocked by limit: at most 4 starts in 1 s"}
    assert [view.expected_start_seconds for view in views[8:]] == pytest.approx(
        [0.25 * number for number in range(12)], abs=0.06
    )
