"""Limits of what runs at once and of starts in a time hold in all workers together, and are used
fully.
"""

import dataclasses
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from .conftest import Lab, new_lab
from .families import claimed, parts_of
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import every_run, process, quiet, worker
from .test_scale import ROWS, delete_all, insert_finished, whole_reads

__all__ = ["every_run", "quiet"]


def submit(lab: Lab, kind: str, name: str = "a", **params: Any) -> Any:
    return lab.submit(kind, name=name, **params)


def place_of(job: Any) -> Any:
    """The job's place; `blocked` where it has none."""
    job.refresh_from_db()
    assert (job.due_at is None) == (job.place is None)
    return "blocked" if job.unblock_at is not None else job.place


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


ENDS: dict[str, Callable[[Any], Any]] = {}


def an_end(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    ENDS[function.__name__] = function
    return function


@an_end
def succeed(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.succeed(claimed(job.pk), {"value": 1}, "")


@an_end
def fail(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.fail(claimed(job.pk), "wrong")


@an_end
def stop(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.stop(claimed(job.pk))


@an_end
def retry(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.retry(claimed(job.pk), "again", delay=60.0)


@an_end
def cancel_while_due(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.request_cancel(job.pk)


@an_end
def give_up(job: Any) -> Any:
    from offload.jobs import transitions
    from offload.jobs.database import due_or_blocked

    return transitions.give_up(job.pk, "nobody knows it", due_or_blocked())


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


def unblocked(key: str, count: int) -> list[str]:
    """The owners, or names, of the next jobs that are unblocked, each after the end of the last."""
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock
    from offload.jobs.models import Job

    found = []
    for _ in range(count):
        (held,) = Job.objects.filter(limit_key=key, place=0)
        transitions.succeed(claimed(held.pk), {"value": 1}, "")
        found += [f"{job.owner} {job.params['name']}" for job in unblock(key)]
    return found


def fill_places(lab: Lab) -> str:
    """Two of the three places are taken for long; the key."""
    jobs = [submit(lab, "lab.three") for _ in range(3)]
    for job in jobs[1:]:
        claimed(job.pk)
    return str(jobs[0].limit_key)


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


def test_a_rate_holds_although_workers_were_busy(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.blocked import unblock
    from offload.jobs.database import from_now
    from offload.jobs.models import Job, RunLimitKey

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


def test_a_type_that_nobody_knows_blocks_no_other_and_fails_after_a_day(
    quiet: Lab, every_run: None
) -> None:
    from offload.jobs.blocked import unblock
    from offload.jobs.database import from_now
    from offload.jobs.models import Job

    worker("lab.three")
    jobs = [submit(quiet, "lab.three") for _ in range(6)]
    Job.objects.filter(pk=jobs[3].pk).update(kind="lab.renamed", unblock_at=from_now(-90_000))
    Job.objects.filter(pk=jobs[5].pk).update(kind="lab.renamed")
    succeed(jobs[0])
    assert [job.pk for job in unblock(jobs[0].limit_key)] == [jobs[4].pk]

    process(RecordingBroker()).run()
    for job in jobs:
        job.refresh_from_db()
    assert "has known the job type 'lab.renamed'" in jobs[3].error
    assert [job.status for job in (jobs[3], jobs[5])] == ["failed", "queued"]


def test_jobs_of_a_limit_that_is_declared_no_more_are_unblocked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import declare
    from offload.jobs.models import Job

    for _ in range(10):
        submit(lab, "lab.three")
    three = declare.find_job_type("lab.three")
    free = dataclasses.replace(three, limits=dataclasses.replace(three.limits, run_limit=None))
    monkeypatch.setattr(declare, "_job_types", {three.name: free})
    run_maintenance(RecordingBroker())
    assert not Job.objects.filter(kind="lab.three", due_at=None).exists()


@pytest.mark.parametrize(("at_once", "unblocked"), [(1, 0), (4, 1), (40, 7)])
def test_a_limit_that_a_deploy_changes_holds_from_then_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, at_once: int, unblocked: int
) -> None:
    from offload.jobs import blocked
    from offload.jobs.run_limit import RunLimit

    jobs = [submit(lab, "lab.three") for _ in range(10)]
    limits = {"lab.three": RunLimit(at_once=at_once)}
    monkeypatch.setattr(blocked, "run_limits", lambda: limits)
    assert len(blocked.unblock(jobs[0].limit_key)) == unblocked


async def test_too_many_blocked_jobs_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from offload.conf import conf
    from offload.jobs import Idempotency, client
    from offload.jobs.declare import find_job_type
    from offload.problems import Problem

    three = find_job_type("lab.three")
    few = dataclasses.replace(conf(), queue_depth=5)
    monkeypatch.setattr(client, "conf", lambda: few)
    params = three.params(log="x", name="a")
    for number in range(9):
        key = Idempotency(f"key-{number}", "the body")
        last = await client.submit(three, params, owner="lab", idempotency=key)

    assert (await client.submit(three, params, owner="lab", idempotency=key)).pk == last.pk
    for refused in (
        client.submit(three, params, owner="lab"),
        client.submit_many(three, [params], owner="lab"),
    ):
        with pytest.raises(Problem, match="5 of your jobs wait for the same limit") as problem:
            await refused
        assert problem.value.headers["Retry-After"] == "60"
    assert await client.submit(three, params, owner="another")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "needs at_once, rate or both"),
        ({"at_once": 0}, "at least 1"),
        ({"rate": -1}, "at least 1"),
        ({"rate": 1, "period": 0.0}, "period must be between 0 and 86400"),
        ({"rate": 1, "period": 90_000.0}, "period must be between 0 and 86400"),
        ({"at_once": 1, "per": "tenant"}, "per must be 'type', 'owner' or a function"),
        ({"at_once": 1, "name": "a:b"}, "has no ':'"),
        ({"at_once": 1, "name": "upstream"}, "share the limit 'upstream'"),
    ],
)
def test_a_wrong_limit_is_refused_when_its_module_is_imported(
    values: dict[str, Any], sentence: str
) -> None:
    from labyrinth.lab.jobs import Done, Noted

    from offload.jobs import InvalidJob, MiB, Report, RunLimit, job

    def wrong(params: Noted, report: Report) -> Done:
        return Done(value=1)

    declared = job("lab.wrong", time_limit=1, memory_limit=MiB, run_limit=RunLimit(**values))
    with pytest.raises(InvalidJob, match=re.escape(sentence)):
        declared(wrong)


# --- contention and scale ---


def test_no_unblocking_is_missed_where_many_threads_end_and_submit(lab: Lab) -> None:
    """No maintenance runs: a missed one would leave a job blocked for ever."""
    from django.db import connection

    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.services import services

    threads, each = (6, 5) if connection.vendor == "postgresql" else (3, 4)
    most, faults = [0], []
    # All places are taken when the first thread counts them.
    for _ in range(3):
        submit(lab, "lab.three")
    due = Job.objects.filter(kind="lab.three", due_at__isnull=False)

    def live() -> None:
        try:
            for _ in range(each):
                submit(lab, "lab.three")
                most[0] = max(most[0], Job.objects.filter(place__isnull=False).count())
                for job_id in list(due.values_list("pk", flat=True)):
                    if row := transitions.claim(job_id, uuid4(), 1):
                        time.sleep(random.uniform(0, 0.005))
                        ended = random.choice((end_well, end_badly))(row)
                        services.unblock_beside([ended])
        except Exception as error:
            faults.append(error)
        finally:
            connection.close()

    def end_well(row: Any) -> Any:
        return transitions.succeed(row, {"value": 1}, "")

    def end_badly(row: Any) -> Any:
        return transitions.retry(row, "again", 0.0)

    running = [threading.Thread(target=live) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    assert faults == []
    assert most[0] == 3

    # What is left: due rows unblock the others, one after another.
    left = Job.objects.filter(kind="lab.three").exclude(status="succeeded")
    for _ in range(threads * each * 2):
        for job_id in list(due.values_list("pk", flat=True)):
            if row := transitions.claim(job_id, uuid4(), 1):
                services.unblock_beside([end_well(row)])
    assert not left.exists()


def test_an_end_waits_for_another_unblocking_of_its_key_and_is_not_missed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection, transaction

    from offload.jobs import database
    from offload.jobs.blocked import unblock
    from offload.jobs.models import RunLimitKey

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS NO ROW LOCKS: test_postgres.py runs this on PostgreSQL")

    # It waits for as long as this test needs.
    monkeypatch.setattr(database, "MAINTENANCE_LOCK_TIMEOUT_SECONDS", 60.0)
    jobs = [submit(lab, "lab.three") for _ in range(4)]
    key, found = jobs[0].limit_key, []

    def unblock_beside() -> None:
        found.extend(unblock(key))
        connection.close()

    beside = threading.Thread(target=unblock_beside)
    with transaction.atomic():
        RunLimitKey.objects.select_for_update().get(key=key)
        ending = threading.Thread(target=lambda: (succeed(jobs[0]), connection.close()))
        ending.start()
        ending.join(30)
        # The maintenance has other keys to look at.
        looking = threading.Thread(
            target=lambda: (found.extend(unblock(key, wait=False)), connection.close())
        )
        looking.start()
        looking.join(30)
        assert found == []
        beside.start()
        time.sleep(0.3)
        assert beside.is_alive()
    beside.join(30)
    assert [job.pk for job in found] == [jobs[3].pk]


@pytest.fixture
def backlog(quiet: Lab) -> Any:
    """A large owner's blocked jobs of one key. Two places are taken."""
    key = fill_places(quiet)
    insert_finished(
        ROWS,
        kind="'lab.three'",
        owner="'large'",
        status="'queued'",
        limit_key=f"'{key}'",
        rank="12 + 4 * n",
        unblock_at="CURRENT_TIMESTAMP",
        started_at="NULL",
        finished_at="NULL",
        expires_at="NULL",
        params="""'{"log": "/dev/null", "name": "large"}'""",
    )
    try:
        yield quiet, key
    finally:
        delete_all()


@pytest.mark.timeout(300)
def test_many_blocked_jobs_of_one_key_cost_no_whole_read_and_starve_no_other_owner(
    backlog: Any,
) -> None:
    from django.db import connection

    from offload.jobs.models import Job

    lab, key = backlog
    broker = RecordingBroker()
    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match("SELECT|UPDATE|DELETE|\\s*WITH", sql) and '"offload_job"' in sql:
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        small = lab.submit("lab.three", owner="small", log="/dev/null", name="small")
        run_maintenance(broker)
        found = unblocked(key, 4)

    assert "small small" in found
    assert place_of(small) == 0 or small.status == "succeeded"
    guilty = {sql: steps for sql, params in seen if (steps := whole_reads(sql, params))}
    assert guilty == {}
    assert Job.objects.filter(place__isnull=False).count() == 3


@pytest.mark.timeout(300)
def test_a_look_costs_no_more_with_many_blocked_jobs(quiet: Lab) -> None:
    from offload.jobs.maintenance.unblock_limited import UnblockLimited

    fill_places(quiet)
    submit(quiet, "lab.three")
    look = UnblockLimited(RecordingBroker()).run  # type: ignore[arg-type]

    def seconds() -> float:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            look()
            times.append(time.perf_counter() - started)
        return min(times)

    alone = seconds()
    insert_finished(
        ROWS,
        kind="'lab.three'",
        status="'queued'",
        limit_key="'lab.three:'",
        unblock_at="CURRENT_TIMESTAMP",
        finished_at="NULL",
        expires_at="NULL",
    )
    try:
        beside = seconds()
    finally:
        delete_all()
    print(f"\na look: {alone * 1e3:.2f} ms, with {ROWS} blocked rows {beside * 1e3:.2f} ms")
    assert beside < alone * 3 + 0.01


# --- real workers ---


def most_at_once(log: Path) -> int:
    """How many jobs ran at the same time, as they have written it themselves."""
    running: dict[str, str] = {}
    most = 0
    for line in log.read_text().splitlines():
        what, *words = line.split()
        match what:
            case "start":
                running[words[-1]] = words[0]
            case "end":
                running.pop(words[-1], None)
            case "killed":
                running = {pid: name for pid, name in running.items() if pid not in words}
        most = max(most, len(running))
    return most


def test_the_limit_holds_and_is_used_fully_whatever_dies(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job

    log, gate = lab.folder / "starts", lab.folder / "gate"
    log.touch()

    def more(count: int, name: str = "a", **params: Any) -> list[Any]:
        return [
            lab.submit("lab.three", log=str(log), name=f"{name}-{number}", seconds=0.1, **params)
            for number in range(count)
        ]

    lab.redis()
    for name in ("one", "two"):
        lab.worker(name, slots=3)
    jobs = [*more(12, gate=str(gate)), *more(4, "stumble")]
    cancelled = more(3, "cancelled")
    for job in cancelled:
        transitions.request_cancel(job.pk)

    lab.until(lambda: most_at_once(log) == 3, "three jobs to run at once")
    gate.touch()
    lab.until(lambda: log.read_text().count("end") > 4, "some jobs to end")
    children = lab.children("one")
    lab.kill("one")
    with log.open("a") as file:
        file.write(f"killed {' '.join(map(str, children))}\n")
    with lab.redis_client() as client:
        client.flushall()
    jobs += more(6, "late")
    family = lab.submit("lab.family", log=str(log), names=[f"part-{n}" for n in range(6)])
    for job in [*jobs, family]:
        lab.reaches(job, "succeeded")
    print(f"\n{most_at_once(log)} at once")
    assert most_at_once(log) == 3
    assert not any("cancelled" in line for line in log.read_text().splitlines())
    assert not Job.objects.filter(place__isnull=False).exists()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    for lab in new_lab(tmp_path_factory.mktemp("two-workers")):
        lab.redis()
        for name in ("one", "two"):
            lab.worker(name)
        yield lab


def test_families_whose_parts_share_their_limit_all_end(two_workers: Lab, tmp_path: Path) -> None:
    log = str(tmp_path / "starts")
    families = [
        two_workers.submit("lab.family", log=log, names=[f"{number}-{part}" for part in range(4)])
        for number in range(5)
    ]
    for job in families:
        assert two_workers.reaches(job, "succeeded").result == {"value": 4}


def test_a_rate_holds_in_all_workers_together(two_workers: Lab, tmp_path: Path) -> None:
    log = tmp_path / "starts"
    jobs = [two_workers.submit("lab.paced", log=str(log), name="a") for _ in range(24)]
    ended = [two_workers.reaches(job, "succeeded") for job in jobs]

    lines = log.read_text().splitlines()
    times = [float(line.split()[2]) for line in lines if line.startswith("start")]
    assert len(times) == 24
    # 4 starts a second. Those of two seconds may come together, and as many may have waited.
    for first in times:
        assert sum(first <= other < first + 1.0 for other in times) <= 4 + 8 + 8
    # The first 8 came together, and each 4 of the others needed a second.
    took = max(job.started_at for job in ended) - min(job.created_at for job in ended)
    assert took.total_seconds() > 3.9
