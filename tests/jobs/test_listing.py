"""An owner's list costs the same with few and with many jobs, on both databases."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

ROWS = 4_000


@pytest.fixture(scope="module")
def many_rows(_database: None) -> Iterator[str]:
    """An owner with 4,000 finished jobs, each of which has a part; and 20 of another one."""
    from django.db import connection
    from django.utils import timezone

    from offload.jobs.models import Job

    owner, now = f"busy {uuid4()}", timezone.now()
    common = {"kind": "lab.burn", "queue": "cpu", "status": "succeeded", "max_attempts": 3}
    wholes, parts = [], []
    for number in range(ROWS):
        at = now - timedelta(seconds=number // 3)
        wholes.append(Job(owner=owner, params={}, created_at=at, finished_at=at, **common))
        parts.append(
            Job(
                owner=owner,
                params={},
                created_at=at,
                finished_at=at,
                parent=wholes[-1],
                number=1,
                **common,
            )
        )
    # At the old end of the list, and all in the same second.
    old = {"owner": owner, "params": {}, "created_at": now - timedelta(days=1)}
    for status in ("queued", "running", "failed", "cancelled"):
        ended = now if status in ("failed", "cancelled") else None
        values = common | old | {"status": status, "finished_at": ended, "due_at": None}
        wholes += [Job(**values) for _ in range(3)]
    others = [Job(owner="quiet", params={}, created_at=now, **common) for _ in range(20)]
    Job.objects.bulk_create([*wholes, *parts, *others], batch_size=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE offload_job")
    yield owner
    with connection.cursor() as cursor:
        # Django would look for the parts of each row.
        cursor.execute("DELETE FROM offload_job")


def plan(statement: str, parameters: Any) -> str:
    """How the database answers. PostgreSQL's planner is not tempted by the small table."""
    from django.db import connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {statement}", parameters)
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def statements(owner: str) -> dict[str, tuple[str, Any]]:
    """The statements of a list, as they are sent."""
    from asgiref.sync import async_to_sync
    from django.db import connection

    from offload.jobs.listing import count_by_status, listed, page_of
    from offload.jobs.models import Status

    cursor = listed(owner)[ROWS // 2].pk
    sent: dict[str, tuple[str, Any]] = {}

    def record(name: str, read: Callable[[], Any]) -> None:
        def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            sent[name] = (sql, params)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(wrapper):
            read()

    record("the first page", lambda: list(page_of(owner, None, None)[:21]))
    record("a page in the middle", lambda: list(page_of(owner, None, cursor)[:21]))
    for status in Status:
        if status != Status.SUCCEEDED:
            record(status, lambda status=status: list(page_of(owner, status, None)[:21]))
    record("the counts", lambda: async_to_sync(count_by_status)(owner))
    return sent


def test_no_page_of_a_list_sorts_or_scans_the_table(many_rows: str) -> None:
    from offload.jobs.models import Status

    sent = statements(many_rows)
    assert len(sent) == 7
    for name, (sql, params) in sent.items():
        told = plan(sql, params)
        for dear in ("Seq Scan", "SCAN offload_job\n"):
            assert dear not in told, (name, told)
        if isinstance(name, Status):
            # An index of the rows in this state, or of all unfinished ones.
            assert "offload_job_listed" not in told, (name, told)
            continue
        assert "offload_job_listed" in told, (name, told)
        assert "Sort" not in told, (name, told)
        assert "TEMP B-TREE" not in told, (name, told)


async def test_a_list_counts_the_newest_thousand(many_rows: str) -> None:
    from offload.jobs.listing import count_by_status

    none = {"queued": 0, "running": 0, "failed": 0, "cancelled": 0}
    assert await count_by_status(many_rows) == none | {"succeeded": 1000}
    assert await count_by_status("quiet") == none | {"succeeded": 20}
