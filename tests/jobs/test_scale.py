"""What runs by itself costs the same with many finished rows as with none.

`JOBS_ROWS=1000000 pytest tests/jobs/test_scale.py -s` prints the figures of docs/reference/jobs.md.
"""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from .conftest import LEASE, Lab
from .families import tolerant
from .test_maintenance import RecordingBroker, divided_job, expired

# Finished rows. With fewer, PostgreSQL is right to read the whole table.
ROWS = int(os.environ.get("JOBS_ROWS", "20000"))

COLUMNS = {
    "kind": "'lab.burn'",
    "queue": "'cpu'",
    "owner": "'owner-' || (n % 100)",
    "params": "'{}'",
    "number": "0",
    "parts_count": "0",
    "failed_parts_allowed": "0",
    "status": "'succeeded'",
    "phase": "''",
    "progress": "1",
    "message": "''",
    "result_file": "''",
    "error": "''",
    "error_detail": "''",
    "attempts": "1",
    "max_attempts": "3",
    "token": "1",
    "version": "3",
    "fingerprint": "''",
    "request_id": "''",
    "due_at": "NULL",
}
SERIES = {
    "postgresql": "SELECT n FROM generate_series(1, {rows}) AS series(n)",
    "sqlite": "WITH RECURSIVE series(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM series LIMIT {rows}) SELECT n FROM series",
}
# The last week, and a lifetime that ends in the next one.
OWN_COLUMNS = {
    "postgresql": {
        "id": "gen_random_uuid()",
        "started_at": "now() - n % 600000 * interval '1 second'",
        "finished_at": "now() - n % 600000 * interval '1 second'",
        "expires_at": "now() + interval '8 days' - n % 600000 * interval '1 second'",
        "result_lifetime": "interval '7 days'",
    },
    "sqlite": {
        "id": "lower(hex(randomblob(16)))",
        "started_at": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n % 600000) || ' seconds')",
        "finished_at": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n % 600000) || ' seconds')",
        "expires_at": "strftime('%Y-%m-%d %H:%M:%f', 'now', '+8 days', "
        "'-' || (n % 600000) || ' seconds')",
        "result_lifetime": "604800000000",
    },
}


def insert_finished(rows: int, **changed: str) -> None:
    """Insert finished rows with one statement, and let the database count them."""
    from django.db import connection

    vendor = connection.vendor
    columns = COLUMNS | OWN_COLUMNS[vendor] | changed
    series = SERIES[vendor].format(rows=rows)
    insert = (
        f"INSERT INTO offload_job ({', '.join(columns)}) "
        f"SELECT {', '.join(columns.values())} FROM ({series}) AS numbers"
    )
    if vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(insert)
            cursor.execute("ANALYZE")
        return

    import psycopg

    # A session of its own, because the service's own statements may take 8 s at most.
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        session.execute(insert)
        session.execute("VACUUM ANALYZE offload_job")


def delete_all() -> None:
    """Delete every job, quickly: PostgreSQL looks for the parts of each row that it deletes."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("TRUNCATE offload_job, offload_result_file, offload_job_kept_key")
            return
        # Without the look-ups of parts, too.
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute("DELETE FROM offload_result_file")
        cursor.execute("DELETE FROM offload_job_kept_key")
        cursor.execute("DELETE FROM offload_job")
        cursor.execute("PRAGMA foreign_keys = ON")


@pytest.fixture
def many(lab: Lab) -> Iterator[Lab]:
    """The lab with finished rows and a few in every other state."""
    from offload.jobs import transitions
    from offload.jobs.models import Job

    for _ in range(20):
        lab.submit("lab.burn", units=1)
        assert transitions.claim(lab.submit("lab.burn", units=1).pk, uuid4(), 1)
        expired(lab.submit("lab.burn", units=1))
    for job in Job.objects.filter(status="running")[:5]:
        Job.objects.filter(pk=job.pk).update(lease_until=job.created_at)
    divided_job(lab, 3)
    late = lab.submit("lab.prompt", units=1)
    Job.objects.filter(pk=late.pk).update(start_before=late.created_at)
    insert_finished(ROWS)
    try:
        yield lab
    finally:
        delete_all()


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements about jobs that are executed meanwhile."""
    from django.db import connection

    seen: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if re.match("SELECT|UPDATE|DELETE", sql) and '"offload_job"' in sql:
            seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def whole_reads(sql: str, params: Any) -> list[str]:
    """The steps of a statement's plan that read the jobs' table, or a large index, as a whole."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            steps = [row[3] for row in cursor.fetchall()]
            # Those that hold no job that has succeeded.
            small = (
                "INDEX offload_job_(waiting|held|divided|deadline|place|blocked|owner_blocked|"
                "unfinished|oldest|failed|cancelled|newest_failed|newest_cancelled)"
            )
            scan = re.compile(rf"SCAN (offload_job|[UVWT]\d+)(?! USING (COVERING )?{small})")
            return [step for step in steps if scan.search(step)]

        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
        plan = cursor.fetchone()[0]
    document = json.loads(plan) if isinstance(plan, str) else plan
    return [str(node) for node in nodes(document[0]["Plan"]) if reads_all(node)]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    children = plan.pop("Plans", [])
    yield plan
    for child in children:
        yield from nodes(child)


def reads_all(node: dict[str, Any]) -> bool:
    if node["Node Type"] == "Seq Scan":
        return bool(node["Relation Name"] == "offload_job")
    large = ("_pkey", "_owner", "_finished", "_expiry", "_parts", "_idempotency")
    return node.get("Index Name", "").endswith(large) and "Index Cond" not in node


def everything_that_runs_by_itself(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two leading looks, one of a process that does not lead, a supervisor's look, and one job."""
    from offload.jobs import transitions
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance import give_up
    from offload.jobs.maintenance.rescue_lost import Observation
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.models import Job, Leader, Worker
    from offload.jobs.stats import JobStats

    monkeypatch.setattr(Observation, "seconds", lambda self: 60.0)
    monkeypatch.setattr(give_up, "UNKNOWN_INTERVAL_SECONDS", -1.0)
    Worker.objects.create(id=uuid4(), name="w", queues=["cpu"], slots=1, kinds=["lab.burn"])
    Leader.objects.all().delete()

    leader, other = (
        Maintenance(RecordingBroker(), JobStats(), EventPublisher())  # type: ignore[arg-type]
        for _ in range(2)
    )
    for _ in range(2):
        leader.run()
    other.run()

    worker = uuid4()
    job = transitions.claim(lab.submit("lab.burn", units=1).pk, worker, 1)
    assert job
    held = list(Job.objects.filter(worker=worker, status="running"))
    transitions.renew(worker, [row.pk for row in held])
    transitions.progress(job, 0.5, "half", {"next": 1})
    transitions.succeed(job, {"value": 1}, "")
    end_a_family(lab)


def end_a_family(lab: Lab) -> None:
    """The ends of parts, of which one fails, and of the job that goes on without it."""
    from offload.jobs import transitions
    from offload.jobs.divided import settle
    from offload.jobs.models import Job
    from offload.jobs.parts import update_progress

    whole, parts = tolerant(lab, 4)
    transitions.fail(parts[0], "no")
    for part in parts[1:]:
        update_progress(part)
        transitions.succeed(part, {"text": "A"}, "")
    Job.objects.filter(pk=whole.pk).update(phase="parts", due_at=None)
    settle(whole.pk)


@pytest.mark.timeout(900)
def test_no_statement_that_runs_by_itself_reads_the_whole_table(
    many: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with statements() as seen:
        everything_that_runs_by_itself(many, monkeypatch)

    assert len(seen) > 20
    guilty = {sql: found for sql, params in seen if (found := whole_reads(sql, params))}
    assert guilty == {}


def seconds(action: Callable[[], object]) -> float:
    """The shortest of five runs."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.timeout(900)
def test_a_look_costs_no_more_with_many_finished_rows(lab: Lab) -> None:
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.stats import JobStats

    broker: Any = RecordingBroker()
    look = Maintenance(broker, JobStats(), EventPublisher()).run
    alone = seconds(look)
    insert_finished(ROWS)
    try:
        beside = seconds(look)
    finally:
        delete_all()
    print(f"\na leader's look: {alone * 1e3:.1f} ms, beside {ROWS} rows {beside * 1e3:.1f} ms")
    assert beside < alone * 3 + 0.05


@pytest.mark.skipif("JOBS_ROWS" not in os.environ, reason="figures at scale: JOBS_ROWS=1000000")
@pytest.mark.timeout(900)
def test_a_dead_workers_job_is_found_beside_many_rows(lab: Lab) -> None:
    insert_finished(ROWS)
    try:
        lab.redis()
        lab.web()
        lab.worker()
        job = lab.submit("lab.burn", units=3000)
        lab.computes(job)
        lab.kill("worker", signal.SIGKILL)
        died = time.monotonic()
        lab.reaches(job, "queued", patience=120)
        took = time.monotonic() - died
        print(f"\n{ROWS} rows: a dead worker's job is queued again after {took:.1f} s")
        assert took < LEASE + 5
    finally:
        lab.end()
        delete_all()


@pytest.fixture
def many_waiting(many: Lab) -> Lab:
    """Beside the finished rows, waiting ones, blocked ones and failed ones, each a fifth."""
    now = {"postgresql": "now()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}
    from django.db import connection

    at, unfinished = now[connection.vendor], {"started_at": "NULL", "finished_at": "NULL"}
    waits = {**unfinished, "status": "'queued'", "expires_at": "NULL"}
    insert_finished(ROWS // 10, **waits, due_at=at)
    insert_finished(ROWS // 10, **waits, unblock_at=at, limit_key="'lab.by_owner:' || (n % 40)")
    insert_finished(ROWS // 50, status="'failed'", error="'the disk is full'")
    return many


@pytest.mark.timeout(900)
def test_a_look_beside_many_waiting_parts_reads_no_finished_job(many: Lab) -> None:
    """Parts are no part of a queue's depth: a few divided jobs are 100,000 waiting rows."""
    from django.db import connection

    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.models import Leader, Worker
    from offload.jobs.stats import JobStats

    at = {"postgresql": "now()", "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')"}
    unfinished = {"started_at": "NULL", "finished_at": "NULL", "expires_at": "NULL"}
    waits = {**unfinished, "status": "'queued'", "number": "n"}
    now = at[connection.vendor]
    insert_finished(ROWS // 3, **waits, due_at=now, published_at=now)
    Worker.objects.create(id=uuid4(), name="w", queues=["cpu"], slots=1, kinds=["lab.burn"])
    Leader.objects.all().delete()

    guilty: dict[str, list[str]] = {}

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        # An UPDATE names 500 rows, and of few pages PostgreSQL is right to read all for them.
        if sql.startswith("SELECT") and '"offload_job"' in sql and sql not in guilty:
            guilty[sql] = []
            # In the same transaction, and so with the same settings.
            guilty[sql] = whole_reads(sql, params)
        return execute(sql, params, many, context)

    broker: Any = RecordingBroker()
    leader = Maintenance(broker, JobStats(), EventPublisher())
    with connection.execute_wrapper(explain):
        leader.run()
    assert len(guilty) > 5
    assert {sql: found for sql, found in guilty.items() if found} == {}


STAFF_PAGES = (
    "/admin/offload_jobs/operations/",
    "/admin/offload_jobs/job/",
    *(
        f"/admin/offload_jobs/job/?status={status}"
        for status in ("queued", "running", "finished", "succeeded", "failed", "cancelled")
    ),
    "/admin/offload_jobs/job/failures/",
    "/admin/offload_jobs/job/?status=failed&kind=lab.burn&error=the+disk+is+full",
    "/admin/offload_jobs/job/?kind=lab.burn&queue=cpu&age=60",
    "/admin/offload_jobs/job/?q=owner-7",
    "/admin/offload_jobs/job/?q=abcdef",
)


@pytest.mark.timeout(900)
def test_no_page_for_staff_reads_the_whole_table(
    many_waiting: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    from offload.jobs.models import Job
    from offload.jobs.services import services

    from .test_by_hand_staff import pages
    from .test_maintenance import run_maintenance

    monkeypatch.setattr(services, "stats", run_maintenance(RecordingBroker()))
    browser = pages("view_job")
    some = Job.objects.filter(limit_key__isnull=False, unblock_at__isnull=False)[:1]
    of_a_job = [f"/admin/offload_jobs/job/{job.pk}/change/" for job in some]
    waits = Job.objects.filter(due_at__isnull=False).order_by("-due_at")[:1]
    of_a_job += [f"/admin/offload_jobs/job/{job.pk}/change/" for job in waits]

    guilty = {}
    for address in (*STAFF_PAGES, *of_a_job):
        started = time.perf_counter()
        with statements() as seen:
            answer = browser.get(address)
        assert answer.status_code == 200, address
        print(
            f"{(time.perf_counter() - started) * 1e3:7.0f} ms  {len(seen):>3} statements  {address}"
        )
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql" and ROWS < 1_000_000:
                # With so few rows the planner is right to read all of them.
                cursor.execute("SET enable_seqscan = off")
        for sql, params in seen:
            found = whole_reads(sql, params)
            if " LIMIT " in sql:
                # The newest finished jobs: read from the end of their index, up to the limit.
                found = [step for step in found if "Backward" not in step]
            if found:
                guilty[address, sql] = found
    assert guilty == {}


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_the_newest_of_many_failed_jobs_are_read_in_the_order_of_an_index(
    many: Lab, status: str
) -> None:
    """After an outage most jobs may have failed, and then people look at them."""
    from django.db import connection

    from .test_by_hand_staff import pages

    finished_at = OWN_COLUMNS[connection.vendor]["finished_at"]
    insert_finished(ROWS, status=f"'{status}'", created_at=finished_at)
    browser = pages("view_job")
    seen: list[tuple[str, Any]] = []
    for page in ("", "failures/") if status == "failed" else ("",):
        with statements() as found:
            answer = browser.get(f"/admin/offload_jobs/job/{page}?status={status}")
        assert answer.status_code == 200
        seen += [each for each in found if "GROUP BY" not in each[0]]
    # The rows and their number; where the newest failures begin.
    assert len(seen) == (3 if status == "failed" else 2)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # It is right to sort so few. This asks whether it has to.
            cursor.execute("SET enable_sort = off")
        for sql, params in seen:
            words = "QUERY PLAN" if connection.vendor == "sqlite" else ""
            cursor.execute(f"EXPLAIN {words} {sql}", params)
            assert f"offload_job_newest_{status}" in str(cursor.fetchall()), sql
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_sort")


def test_the_end_of_a_part_does_not_read_the_parts_that_ended_before(lab: Lab) -> None:
    from django.db import connection

    from offload.jobs.divided import has_unfinished_parts

    if connection.vendor != "postgresql":
        pytest.skip("POSTGRESQL ALONE counts the rows that a statement reads")
    whole, parts = tolerant(lab, 20)
    insert_finished(2000, parent_id=f"'{whole.pk}'", number="0")
    with statements() as seen:
        assert has_unfinished_parts(whole.pk)
    ((sql, params),) = seen
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
        document = cursor.fetchone()[0]
    plan = (json.loads(document) if isinstance(document, str) else document)[0]["Plan"]
    read = sum(n.get("Rows Removed by Filter", 0) + n["Actual Rows"] for n in nodes(plan))
    assert read < len(parts)
