"""The rows that a job saves are in the database if its end is, and only then."""

import itertools
import os
from functools import partial
from typing import Any

import pytest
from django.db.models import F

from .conftest import Lab, execute
from .kills import kill_before


def groups(job: Any) -> int:
    """How many rows this job has saved."""
    from django.contrib.auth.models import Group

    return Group.objects.filter(name__startswith=f"{job.params['name']} ").count()


def fails(job: Any) -> Any:
    """The row of a job that fails in this process."""
    from offload.jobs.worker.executor import JobFailed

    with pytest.raises(JobFailed):
        execute(job)
    job.refresh_from_db()
    return job


def test_the_rows_and_the_end_are_both_there(lab: Lab) -> None:
    job = lab.submit("lab.saved", name="a")
    assert execute(job) == "succeeded"
    job.refresh_from_db()
    assert (job.result, groups(job)) == ({"value": 0}, 1)


@pytest.mark.parametrize("on_end", [None, "lab.told"], ids=["alone", "with a callback"])
def test_a_process_that_dies_before_any_statement_saves_all_or_nothing(
    lab: Lab, on_end: str | None
) -> None:
    from offload.jobs import transitions

    states = set()
    for statement in itertools.count():
        job = lab.submit("lab.saved", name=f"death {statement}", on_end=on_end)
        killed = kill_before(statement, partial(execute, job))
        job.refresh_from_db()
        assert groups(job) == (job.status == "succeeded"), f"before statement {statement}"
        states.add(job.status)
        if not killed:
            break

        if job.status == "running":
            transitions.reclaim(job, "its process died")
        if job.status != "succeeded":
            assert execute(job) == "succeeded"
        assert groups(job) == 1
    assert states == {"queued", "running", "succeeded"}


def test_an_error_of_save_is_one_of_the_job_and_nothing_is_saved(lab: Lab) -> None:
    job = fails(lab.submit("lab.saved", name="a", way="for its owner"))
    assert (job.status, job.error, groups(job)) == ("failed", "the station is closed", 0)


def test_an_error_of_save_that_is_worth_it_gets_another_attempt(lab: Lab) -> None:
    job = lab.submit("lab.saved", name="a", way="worth another attempt")
    assert [execute(job), execute(job)] == ["queued", "queued"]
    assert (fails(job).attempts, groups(job)) == (3, 0)


def test_what_the_database_refuses_at_the_commit_is_an_error_of_save(lab: Lab) -> None:
    job = fails(lab.submit("lab.saved", name="a", way="deferred"))
    assert job.error.startswith("failed with IntegrityError")
    assert (job.attempts, groups(job)) == (1, 0)


def test_a_row_that_is_there_already_is_an_error_of_save(lab: Lab) -> None:
    assert execute(lab.submit("lab.saved", name="a")) == "succeeded"
    job = fails(lab.submit("lab.saved", name="a"))
    assert job.error.startswith("failed with IntegrityError")
    assert groups(job) == 1


def test_save_is_called_again_after_an_outage(lab: Lab) -> None:
    job = lab.submit("lab.saved", name="a", way="outage")
    assert execute(job) == "succeeded"
    job.refresh_from_db()
    assert (groups(job), lab.executions(job), lab.executions(job, "save")) == (1, 1, 5)


def test_save_is_not_called_for_ever(lab: Lab) -> None:
    job = fails(lab.submit("lab.saved", name="a", way="no table"))
    assert (job.status, groups(job)) == ("failed", 0)


def test_a_worker_that_has_lost_its_lease_saves_nothing(lab: Lab, monkeypatch: Any) -> None:
    """Whether it lost it before `save` or while it ran."""
    from offload.jobs import transitions
    from offload.jobs.models import Job

    job = lab.submit("lab.saved", name="a")
    succeed = transitions.succeed

    def lose_first(held: Any, *values: Any) -> Any:
        # In the same transaction, as another process's commit would be seen.
        Job.objects.filter(pk=held.pk).update(token=F("token") + 1)
        return succeed(held, *values)

    monkeypatch.setattr(transitions, "succeed", lose_first)
    assert execute(job) == "fenced"
    assert groups(job) == 0
    assert lab.executions(job, "save") == 1


def test_save_has_the_time_limit_of_the_job(running: Lab) -> None:
    job = running.submit("lab.saved_soon", name="a", way="for ever")
    # On a busy machine the process may be killed before it sees the signal of the soft limit.
    assert running.reaches(job, "failed").error.startswith("time limit: ")
    assert groups(job) == 0


@pytest.mark.skipif(
    "LAB_DATABASE_URL" not in os.environ, reason="on SQLite a cancel waits until save has ended"
)
def test_a_cancel_ends_save(running: Lab) -> None:
    from offload.jobs import transitions

    job = running.submit("lab.saved", name="a", way="for ever")
    running.until(lambda: running.executions(job, "save"), "save to begin")
    transitions.request_cancel(job.pk)
    running.reaches(job, "cancelled")
    assert groups(job) == 0


def test_a_save_that_does_not_fit_its_job_is_refused() -> None:
    from labyrinth.lab.jobs import Done, Nothing

    from offload.jobs import MiB, Report, job
    from offload.jobs.errors import InvalidJob

    def save(result: Done) -> None: ...

    async def save_async(params: Nothing, result: Done) -> None: ...

    def function(params: Nothing, report: Report) -> Done:
        raise NotImplementedError

    for wrong in (save, save_async):
        with pytest.raises(InvalidJob, match=r"params: Nothing, result: Done\) -> None"):
            job("lab.unfit", time_limit=1, memory_limit=MiB, save=wrong)(function)
