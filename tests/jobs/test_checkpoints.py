"""A job's next attempt gets the state that the last one reported."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Lab, execute
from .families import claimed


@pytest.fixture
def _quick_reports(settings: Any) -> None:
    settings.OFFLOAD = dataclasses.replace(settings.OFFLOAD, report_interval=0.0)


def steps(job: Any) -> Iterator[str]:
    for line in Path(job.params["log"]).read_text().splitlines():
        if line.startswith("step-"):
            yield line.split()[0]


EACH_ONCE = [f"step-{number}" for number in range(5)]


@pytest.mark.usefixtures("_quick_reports")
def test_a_retry_goes_on_behind_the_checkpoint(lab: Lab) -> None:
    from offload.jobs.models import Job

    job = lab.submit("lab.stepwise", accident="error")
    assert execute(job) == "queued"
    assert Job.objects.get(pk=job.pk).checkpoint == {"next": 3}

    assert execute(job) == "succeeded"
    row = Job.objects.get(pk=job.pk)
    assert (row.result, row.attempts, list(steps(job))) == ({"value": 3}, 2, EACH_ONCE)
    assert row.checkpoint is None, "a job that succeeded needs none"


def test_a_killed_process_costs_no_more_than_the_work_since_the_last_checkpoint(
    running: Lab,
) -> None:
    job = running.submit("lab.stepwise", accident="kill", steps=80)
    row = running.reaches(job, "succeeded", "failed")
    assert row.status == "succeeded", row.error
    # The first state is always written. Others are, at most twice a second.
    assert row.attempts == 2
    assert row.result["value"] >= 1
    assert list(steps(job)).count("step-0") == 1
    assert list(steps(job))[-1] == "step-79"


@pytest.mark.usefixtures("_quick_reports")
def test_a_worker_that_lost_its_lease_changes_no_checkpoint(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.worker.report import LeaseLost, RunningReport

    frozen = claimed(lab.submit("lab.stepwise").pk)
    assert transitions.hand_back(frozen)
    current = claimed(frozen.pk)
    RunningReport(current)(0.5, state={"of": "the second"})

    with pytest.raises(LeaseLost):
        RunningReport(frozen)(0.9, state={"of": "the first"})
    assert Job.objects.get(pk=frozen.pk).checkpoint == {"of": "the second"}


def test_a_state_comes_through_right_after_a_report_of_progress(lab: Lab, settings: Any) -> None:
    from offload.jobs.models import Job
    from offload.jobs.worker.report import RunningReport

    # However slow this machine is, the last report comes too early.
    settings.OFFLOAD = dataclasses.replace(settings.OFFLOAD, report_interval=3600.0)
    job = claimed(lab.submit("lab.stepwise").pk)
    report = RunningReport(job)
    report(0.1, "the first stage")
    report(0.5, "the second stage", state={"stage": 2})
    report(0.6, "still the second stage")
    # Within the interval after the last state.
    report(0.7, state={"stage": 3})
    row = Job.objects.get(pk=job.pk)
    assert (row.checkpoint, row.message) == ({"stage": 2}, "the second stage")


@pytest.mark.parametrize(
    ("state", "error", "sentence"),
    [
        ({"next": float("nan")}, TypeError, "no form in JSON"),
        ({"when": object()}, TypeError, "no form in JSON"),
        ({"name": "\udcff"}, TypeError, "no form in JSON"),
        ({1: "one"}, TypeError, "would change in JSON"),
        ({"pair": (1, 2)}, TypeError, "would change in JSON"),
        ({"text": "a\0b"}, TypeError, "no NUL"),
        ({"text": "x" * 70_000}, ValueError, "70012 bytes, the limit is 65536"),
    ],
)
def test_a_state_that_the_next_attempt_could_not_read_is_refused(
    lab: Lab, state: Any, error: type[Exception], sentence: str
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.worker.report import RunningReport

    job = claimed(lab.submit("lab.stepwise").pk)
    with pytest.raises(error, match=sentence):
        RunningReport(job)(0.5, state=state)
    assert Job.objects.get(pk=job.pk).checkpoint is None


def test_an_outage_drops_a_state_and_not_the_job(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    from offload.jobs import transitions
    from offload.jobs.worker.report import RunningReport

    def refuse(*_: Any) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(transitions, "progress", refuse)
    RunningReport(claimed(lab.submit("lab.stepwise").pk))(0.5, state={"next": 1})
