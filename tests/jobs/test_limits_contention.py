"""Limits under contention, and with many blocked jobs."""

import random
import re
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .limited import fill_places, place_of, submit, succeed, unblocked
from .test_maintenance import RecordingBroker, run_maintenance
from .test_maintenance_publish import quiet as quiet
from .test_scale import ROWS, delete_all, insert_finished, whole_reads


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

    from offload.jobs import transactions
    from offload.jobs.blocked import unblock
    from offload.jobs.models import RunLimitKey

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS NO ROW LOCKS: test_postgres.py runs this on PostgreSQL")

    # It waits for as long as this test needs.
    monkeypatch.setattr(transactions, "MAINTENANCE_LOCK_TIMEOUT_SECONDS", 60.0)
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


@pytest.mark.timeout(900)
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


@pytest.mark.timeout(900)
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


@pytest.fixture
def many_keys(quiet: Lab) -> Iterator[int]:
    """A blocked job of each of many keys, which all have room."""
    count = 120
    insert_finished(
        count,
        kind="'lab.by_owner'",
        owner="'owner ' || n",
        status="'queued'",
        limit_key="'lab.by_owner:owner ' || n",
        rank="4",
        unblock_at="CURRENT_TIMESTAMP",
        started_at="NULL",
        finished_at="NULL",
        expires_at="NULL",
        params="""'{"log": "/dev/null", "name": "any"}'""",
    )
    try:
        yield count
    finally:
        delete_all()


def still_blocked() -> int:
    from offload.jobs.models import Job

    return Job.objects.filter(unblock_at__isnull=False).count()


def test_many_keys_are_unblocked_by_few_statements(
    many_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from offload.jobs.maintenance import unblock_limited

    # A busy machine may take longer.
    monkeypatch.setattr(unblock_limited, "RUN_SECONDS", 600.0)
    broker = RecordingBroker()
    with CaptureQueriesContext(connection) as made:
        unblock_limited.UnblockLimited(broker).run()  # type: ignore[arg-type]
    assert still_blocked() == 0
    assert len(set(broker.published)) == many_keys
    # Two looks for each key; the rest is for some keys together.
    assert len(made) < 3 * many_keys


def test_a_run_over_many_keys_leaves_the_others_their_turn(
    many_keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.maintenance import unblock_limited

    monkeypatch.setattr(unblock_limited, "RUN_SECONDS", -1.0)
    duty = unblock_limited.UnblockLimited(RecordingBroker())  # type: ignore[arg-type]
    left = []
    while still_blocked():
        duty.run()
        left.append(still_blocked())
    assert left == [95, 70, 45, 20, 0]


@pytest.fixture
def held_keys() -> Iterator[list[str]]:
    """New keys of a transaction, as many as one inserts; it neither commits nor ends."""
    from django.db import connection, connections

    from offload.jobs.maintenance.unblock_limited import TRANSACTION_KEYS

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this on PostgreSQL")
    other = connections.create_connection("default")
    other.set_autocommit(False)
    keys = [f"lab.by_owner:held {number:02}" for number in range(TRANSACTION_KEYS)]
    try:
        with other.cursor() as cursor:
            insert = "INSERT INTO offload_run_limit_key (key, rank) VALUES (%s, 0)"
            cursor.executemany(insert, [(key,) for key in keys])
        yield keys
    finally:
        other.rollback()
        other.close()


@pytest.mark.parametrize("count", [1, 23])
def test_new_keys_that_a_dead_host_holds_keep_no_other_key_waiting(
    lab: Lab, held_keys: list[str], count: int, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.maintenance.unblock_limited import UnblockLimited
    from offload.jobs.models import Job

    keys = ["lab.by_owner:a", *held_keys[:count], "lab.by_owner:z"]
    jobs = [submit(lab, "lab.by_owner", name=key) for key in keys]
    now = jobs[0].created_at
    for job, key in zip(jobs, keys, strict=True):
        Job.objects.filter(pk=job.pk).update(limit_key=key, place=None, due_at=None, unblock_at=now)
    UnblockLimited(RecordingBroker()).run()  # type: ignore[arg-type]
    assert [place_of(job) for job in jobs] == [0, *["blocked"] * count, 0]
    (line,) = (each.getMessage() for each in caplog.records)
    assert line.startswith(f"another process holds up {count} new keys of the limits lab.by_owner")


def test_the_waits_for_all_keys_that_a_dead_host_holds_do_not_cost_the_lead() -> None:
    from offload.jobs.blocked import NEW_KEY_TIMEOUT_SECONDS
    from offload.jobs.maintenance.leader import RENEWAL_INTERVAL_SECONDS
    from offload.jobs.maintenance.unblock_limited import TRANSACTION_KEYS

    # Together, and then one after the other.
    assert (1 + TRANSACTION_KEYS) * NEW_KEY_TIMEOUT_SECONDS < RENEWAL_INTERVAL_SECONDS
