"""A divided job goes on while no more of its parts fail than it allows."""

from functools import partial
from typing import Any

import pytest

from .conftest import Lab, execute
from .families import claimed, tolerant
from .test_contention import at_once, errors


def finish(job: Any) -> Any:
    """Execute a divided job, its parts and its function in this process; its last row."""
    from offload.jobs.models import Job
    from offload.jobs.worker.executor import JobFailed

    execute(job)
    for part in Job.objects.filter(parent=job.pk).order_by("number"):
        try:
            execute(part)
        except JobFailed:
            continue
    job.refresh_from_db()
    if job.phase == "join":
        execute(job)
        job.refresh_from_db()
    return job


def test_the_function_gets_the_results_and_the_numbers_of_the_parts_that_failed(lab: Lab) -> None:
    row = finish(lab.submit("lab.tolerant", letters="axbx"))
    assert row.status == "succeeded"
    unknown = "failed: this letter is unknown"
    assert row.result == {"text": f"A (2 {unknown}) B (4 {unknown})"}


def test_a_parts_result_of_another_version_fails_the_job_in_words(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.executor import JobFailed

    whole, parts = tolerant(lab, 2)
    for part in parts:
        assert transitions.succeed(part, {"words": "nobody's business"}, "")
    with pytest.raises(JobFailed):
        execute(whole)
    whole.refresh_from_db()
    assert whole.error == (
        "the result of part 1 does not fit the model Text any more: text: Field required"
    )
    assert "business" not in caplog.text + whole.error_detail


def test_the_parameters_of_parts_are_not_read_with_their_results(lab: Lab) -> None:
    """10,000 parts with their limit of 64 kB have 640 MB, which the job's memory limit counts."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from offload.jobs import transitions
    from offload.jobs.declare import find_job_type
    from offload.jobs.parts import part_results

    whole, parts = tolerant(lab, 2)
    for part in parts:
        assert transitions.succeed(part, {"text": "A"}, "")
    whole.refresh_from_db()
    with CaptureQueriesContext(connection) as queries:
        results: Any = part_results(find_job_type(whole.kind), whole)
    assert [each.text for each in results] == ["A", "A"]
    assert not [query for query in queries if '."params"' in query["sql"]]


def test_one_failed_part_too_many_fails_the_job_and_stops_its_other_parts(lab: Lab) -> None:
    from offload.jobs.models import Job

    row = finish(lab.submit("lab.tolerant", letters="xxxab"))
    assert row.status == "failed"
    reason = "part 3 failed: this letter is unknown"
    assert row.error == f"more than 2 of 5 parts failed, among them {reason}"
    parts = Job.objects.filter(parent=row.pk).order_by("number")
    assert [part.status for part in parts] == ["failed"] * 3 + ["cancelled"] * 2


def test_a_job_goes_on_when_its_last_part_is_one_that_may_fail(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = tolerant(lab, 2)
    assert transitions.succeed(parts[0], {"text": "A"}, "")
    assert transitions.fail(parts[1], "ValueError")
    whole.refresh_from_db()
    assert (whole.status, whole.phase) == ("running", "join")


def test_a_cancelled_part_counts_as_failed(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = tolerant(lab, 2)
    assert transitions.hand_back(parts[0])
    transitions.request_cancel(parts[0].pk)
    whole.refresh_from_db()
    assert (whole.status, whole.phase) == ("running", "parts")

    assert transitions.succeed(parts[1], {"text": "B"}, "")
    assert execute(whole) == "succeeded"
    whole.refresh_from_db()
    assert whole.result == {"text": "(1 cancelled: ) B"}


def test_the_progress_tells_how_many_parts_failed(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.parts import update_progress

    _, parts = tolerant(lab, 4)
    assert transitions.fail(parts[0], "ValueError")
    whole = update_progress(parts[1])
    assert whole is not None
    assert whole.message == "1 of 4 parts, 1 of them failed"


def test_the_maintenance_settles_a_job_whose_parts_may_fail(lab: Lab) -> None:
    from offload.jobs import divided
    from offload.jobs.models import Job

    whole, parts = tolerant(lab, 4)
    # Nobody told the parent.
    Job.objects.filter(pk__in=[part.pk for part in parts[2:]]).update(status="succeeded")
    Job.objects.filter(pk__in=[part.pk for part in parts[:2]]).update(status="failed", error="no")
    settled = divided.settle(whole.pk)
    assert settled is not None
    assert (settled.status, settled.phase) == ("running", "join")


def test_a_worker_that_dies_combining_costs_an_attempt_and_no_part(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = tolerant(lab, 2)
    assert transitions.succeed(parts[0], {"text": "A"}, "")
    assert transitions.fail(parts[1], "no")
    died = claimed(whole.pk)
    assert transitions.reclaim(died, "worker lost")
    assert execute(whole) == "succeeded"
    whole.refresh_from_db()
    assert (whole.attempts, whole.result) == (2, {"text": "A (2 failed: no)"})


def test_parts_that_fail_together_are_counted_once_each(lab: Lab) -> None:
    from django.db import connection

    from offload.jobs import transitions

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")
    for failing, state in ((3, ("running", "join")), (4, ("failed", "parts"))):
        for _ in range(5):
            whole, parts = tolerant(lab, 6)
            ends = [partial(transitions.fail, part, "ValueError") for part in parts[:failing]]
            ends += [
                partial(transitions.succeed, part, {"text": "A"}, "") for part in parts[failing:]
            ]
            assert errors(at_once(*ends)) == []
            whole.refresh_from_db()
            assert (whole.status, whole.phase) == state


def test_workers_finish_a_job_whose_parts_may_fail(running: Lab) -> None:
    job = running.submit("lab.tolerant", letters="abxcdxefgh")
    row = running.reaches(job, "succeeded", "failed")
    assert row.result is not None
    assert row.result["text"].startswith("A B (3 failed")
