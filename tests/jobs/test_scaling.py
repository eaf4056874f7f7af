"""What KEDA asks PostgreSQL (deploy/kubernetes): the number that starts and stops workers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Lab
from .families import claimed, claimed_whole
from .test_pauses import pause, resume

PROJECT = ROOT / "{{cookiecutter.project_slug}}"
pytestmark = pytest.mark.skipif(
    "LAB_DATABASE_URL" not in os.environ, reason="KEDA asks PostgreSQL alone: test_postgres.py"
)


def queries(queue: str) -> dict[str, str]:
    """The query of each trigger of a queue's workers."""
    text = (PROJECT / f"deploy/kubernetes/base/worker-{queue}.yaml").read_text()
    (scaled,) = [each for each in yaml.safe_load_all(text) if each["kind"] == "ScaledObject"]
    return {each["name"]: each["metadata"]["query"] for each in scaled["spec"]["triggers"]}


@contextmanager
def as_keda() -> Iterator[Any]:
    """A cursor with the rights of the role that docs/kubernetes.md makes, and no others."""
    from django.db import connection, transaction

    page = (PROJECT / "docs/kubernetes.md").read_text()
    (statements,) = [block for block in page.split("```sql\n")[1:] if "CREATE ROLE" in block]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statements.split("```")[0])
        cursor.execute("SET LOCAL ROLE scaler")
        yield cursor
        transaction.set_rollback(True)


def answer(queue: str = "cpu", trigger: str = "jobs") -> float:
    with as_keda() as cursor:
        cursor.execute(queries(queue)[trigger])
        ((number,),) = cursor.fetchall()
    # KEDA reads this type alone for sure.
    assert isinstance(number, float)
    return number


def change(job: Any, **values: Any) -> None:
    from offload.jobs.models import Job

    assert Job.objects.filter(pk=job.pk).update(**values)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


def test_a_queue_with_nothing_to_do_needs_no_worker(lab: Lab) -> None:
    from offload.jobs import transitions

    assert (answer(), answer(trigger="oldest")) == (0, 0)
    job = claimed(lab.submit("lab.burn", units=1).pk)
    assert answer() == 1
    assert transitions.succeed(job, {"value": 1}, "")
    # Finished rows do not count, nor do those of other queues.
    assert answer() == 0
    lab.submit("lab.tick")
    assert (answer(), answer("default")) == (0, 0.25)


def test_what_waits_counts_a_quarter_and_what_runs_counts_whole(lab: Lab) -> None:
    for _ in range(3):
        lab.submit("lab.burn", units=1)
    assert answer() == 0.75
    claimed(lab.submit("lab.burn", units=1).pk)
    assert answer() == 1.75


def test_a_job_that_cannot_begin_yet_starts_no_worker(lab: Lab) -> None:
    from offload.jobs import transitions

    change(lab.submit("lab.burn", units=1), due_at=ago(-600))
    # Too late: the maintenance fails it.
    change(lab.submit("lab.burn", units=1), start_before=ago(1))
    tried = claimed(lab.submit("lab.burn", units=1).pk)
    assert transitions.retry(tried, error="later", delay=600.0)
    assert (answer(), answer(trigger="oldest")) == (0, 0)


@pytest.mark.parametrize("target", [{"queue": "cpu"}, {"kind": "lab.burn"}])
def test_a_pause_lets_the_workers_go_when_the_last_running_job_has_ended(
    lab: Lab, target: dict[str, str]
) -> None:
    from offload.jobs import transitions

    running = claimed(lab.submit("lab.burn", units=1).pk)
    change(lab.submit("lab.burn", units=1), due_at=ago(90))
    pause(**target)
    assert (answer(), answer(trigger="oldest")) == (1, 0)
    assert transitions.succeed(running, {"value": 1}, "")
    assert answer() == 0
    resume(**target)
    assert answer() == 0.25
    assert answer(trigger="oldest") >= 90


def test_a_cancelled_job_counts_until_its_process_has_ended_it(lab: Lab) -> None:
    from offload.jobs import transitions

    queued = lab.submit("lab.burn", units=1)
    running = claimed(lab.submit("lab.burn", units=1).pk)
    for job in (queued, running):
        transitions.request_cancel(job.pk)
    assert answer() == 1
    running.refresh_from_db()
    assert transitions.stop(running)
    assert answer() == 0


def test_the_job_of_a_dead_worker_counts_until_another_has_ended_it(lab: Lab) -> None:
    from offload.jobs import transitions

    lost = claimed(lab.submit("lab.burn", units=1).pk)
    change(lost, lease_until=ago(60))
    assert answer() == 1
    lost.refresh_from_db()
    assert transitions.reclaim(lost, "lost")
    assert answer() == 0.25


def test_a_blocked_job_starts_no_worker(lab: Lab) -> None:
    for _ in range(5):
        lab.submit("lab.three", name="a")
    assert answer() == 0.75


def test_a_divided_job_counts_by_its_parts_and_then_for_its_join(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = claimed_whole(lab, 2)
    assert answer() == 1
    assert transitions.divide(whole, parts)
    assert answer() == 0.5
    running = [claimed(part.pk) for part in parts]
    assert answer() == 2
    # It waits for a part that starts later, and nothing could run now.
    assert transitions.succeed(running[0], {"value": 1}, "")
    assert transitions.retry(running[1], error="later", delay=600.0)
    assert answer() == 0
    change(parts[1], due_at=ago(90))
    assert (answer(), answer(trigger="oldest")) == (0.25, 0)
    assert transitions.succeed(claimed(parts[1].pk), {"value": 1}, "")
    assert answer() == 0.25


def test_the_number_is_that_of_the_jobs_that_a_worker_could_claim(lab: Lab) -> None:
    """In one table with everything, by the condition of the claim itself."""
    from offload.jobs.models import Job
    from offload.jobs.row_states import due

    for number in range(6):
        lab.submit(("lab.burn", "lab.silent", "lab.tick")[number % 3])
        claimed(lab.submit("lab.burn", units=1).pk)
        change(lab.submit("lab.burn", units=1), due_at=ago(900 - 600 * number))
        change(lab.submit("lab.silent", units=1), start_before=ago(900 - 600 * number))
    pause(kind="lab.silent")
    for queue in ("cpu", "default"):
        rows = Job.objects.filter(queue=queue)
        expected = rows.filter(worker__isnull=False).count() + rows.filter(due()).count() / 4
        assert answer(queue) == expected > 0


def test_keda_reads_no_finished_row_and_no_parameters(lab: Lab) -> None:
    from django.db import DatabaseError, connection, transaction

    with transaction.atomic(), connection.cursor() as cursor:
        # A table of few rows is read whole otherwise.
        cursor.execute("SET LOCAL enable_seqscan = off")
        for trigger, indexes in (
            ("jobs", {"offload_job_held", "offload_job_waiting"}),
            ("oldest", {"offload_job_waiting"}),
        ):
            cursor.execute(f"EXPLAIN {queries('cpu')[trigger]}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert all(f"{index} " in plan for index in indexes), plan
            assert "Seq Scan on offload_job" not in plan, plan
    with pytest.raises(DatabaseError, match="permission denied"), as_keda() as cursor:
        cursor.execute("SELECT params FROM offload_job")
