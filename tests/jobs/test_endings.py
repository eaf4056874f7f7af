"""However a job ends, its end is written, and says to each reader what he may know."""

import dataclasses
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, OperationalError, connection
from pydantic import BaseModel

from .conftest import Lab, execute


def failed(lab: Lab, kind: str, **params: Any) -> Any:
    """The row of a job that fails in this process."""
    from offload.jobs.worker.executor import JobFailed

    job = lab.submit(kind, **params)
    with pytest.raises(JobFailed):
        execute(job)
    job.refresh_from_db()
    assert job.status == "failed"
    return job


@pytest.mark.parametrize(
    "way", ["a surrogate", "a NUL", "no text", "an exit in its text", "a huge status"]
)
def test_an_error_whose_text_no_database_takes_fails_its_job(lab: Lab, way: str) -> None:
    job = failed(lab, "lab.raise", way=way)
    assert job.error.startswith("failed with ")
    assert job.error_detail


def test_clients_see_of_an_error_its_type_and_operators_its_text(lab: Lab) -> None:
    job = failed(lab, "lab.raise", way="a secret")
    assert job.error == "failed with RuntimeError; the log has the reason under the job's id"
    assert "s3cr3t" in job.error_detail


def test_clients_see_what_a_jobs_author_wrote_for_them(lab: Lab) -> None:
    assert failed(lab, "lab.raise", way="for its owner").error == (
        "the portfolio is empty: add a holding"
    )


class Anything(BaseModel):
    value: Any


def very_deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("\ud800", "cannot be written as JSON, perhaps for a text with half a character"),
        (b"\xff", "cannot be written as JSON, perhaps for"),
        (very_deep(), "cannot be written as JSON, perhaps for"),
        ([object()], "cannot be written as JSON, which has no object: give plain values"),
        (float("nan"), "JSON has no NaN and no infinity"),
        (float("inf"), "JSON has no NaN and no infinity"),
        (b"text", "cannot be read back from JSON as they went: the field 'value' differs"),
    ],
    ids=["half a character", "bytes", "deep", "object", "nan", "infinity", "text as bytes"],
)
def test_a_result_that_json_does_not_take_fails_its_job_with_a_sentence(
    lab: Lab, value: Any, why: str
) -> None:
    from offload.jobs.declare import find_job_type
    from offload.jobs.errors import JobError

    burn = dataclasses.replace(find_job_type("lab.burn"), result=Anything)
    with pytest.raises(JobError, match=f"^the result of 'lab.burn' .*{why}"):
        burn.result_to_json(Anything(value=value))


def test_parameters_that_no_longer_fit_are_told_without_their_values(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.worker.executor import JobFailed

    job = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=job.pk).update(params={"log": "", "units": "hunter2"})
    with pytest.raises(JobFailed):
        execute(job)
    job.refresh_from_db()
    assert "do not fit the model Work any more: units: " in job.error
    assert "hunter2" not in job.error
    assert f"job {job.pk}" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.fixture
def forbids_extra() -> Iterator[None]:
    """The model of `lab.burn` refuses fields that it does not know."""
    from labyrinth.lab.jobs import Work

    usual = Work.model_config.copy()
    try:
        Work.model_config["extra"] = "forbid"
        Work.model_rebuild(force=True)
        yield
    finally:
        Work.model_config = usual
        Work.model_rebuild(force=True)


def _of_a_newer_version(lab: Lab) -> Any:
    """A job that a web process of the next version has submitted: with a field more."""
    from offload.jobs.models import Job

    job = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=job.pk).update(params={"log": "/dev/null", "units": 1, "newer": "x"})
    return job


def test_an_old_worker_ignores_a_field_of_a_newer_version(lab: Lab) -> None:
    job = _of_a_newer_version(lab)
    execute(job)
    job.refresh_from_db()
    assert job.status == "succeeded"


def test_an_old_worker_fails_the_job_where_its_model_forbids_the_field(
    lab: Lab, forbids_extra: None
) -> None:
    from offload.jobs.worker.executor import JobFailed

    job = _of_a_newer_version(lab)
    with pytest.raises(JobFailed):
        execute(job)
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("failed", 1)
    assert "do not fit the model Work any more: newer: " in job.error


def test_an_end_that_the_database_refuses_is_no_failure_of_the_job(running: Lab) -> None:
    job = running.submit("lab.refused", units=1)
    ended = running.reaches(job, "failed")
    assert (ended.attempts, running.executions(job, "end")) == (3, 3)
    assert ended.error == (
        "worker lost: its end could not be written; the worker's log has the reason under the "
        "job's id, attempt 3 of 3"
    )
    running.reaches(running.submit("lab.burn", units=1), "succeeded")


def lose_acknowledgements(
    monkeypatch: pytest.MonkeyPatch, name: str, times: int, committed: bool
) -> list[int]:
    """Let a transition fail as a lost connection does, after its commit or before it."""
    from offload.jobs import transitions
    from offload.jobs.worker import outage

    write, calls = getattr(transitions, name), []

    def lose(*args: Any) -> Any:
        calls.append(1)
        if len(calls) > times:
            return write(*args)
        if committed:
            write(*args)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(transitions, name, lose)
    monkeypatch.setattr(outage, "FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(outage, "LONGEST_RETRY_SECONDS", 0.001)
    return calls


@pytest.mark.parametrize("name", ["claim", "succeed"])
def test_a_write_that_was_committed_and_not_acknowledged_counts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    lose_acknowledgements(monkeypatch, name, 1, committed=True)
    job = lab.submit("lab.burn", units=1)
    assert execute(job) == "succeeded"
    job.refresh_from_db()
    assert (job.status, job.attempts, lab.executions(job)) == ("succeeded", 1, 1)


def test_a_division_that_was_committed_and_not_acknowledged_counts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_acknowledgements(monkeypatch, "divide", 1, committed=True)
    job = lab.submit("lab.whole", logs=["/dev/null"] * 2)
    assert execute(job) == "running"
    assert job.parts.count() == 2


def test_a_duplicate_message_is_not_taken_for_a_lost_acknowledgement(lab: Lab) -> None:
    from offload.jobs import transitions

    worker, job = uuid4(), lab.submit("lab.burn", units=1)
    assert transitions.claim(job.pk, worker, os.getpid())
    assert execute(job, worker) == "duplicate"


def test_a_result_outlives_any_number_of_failed_writes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The former limit was 11 tries, 102 s.
    calls = lose_acknowledgements(monkeypatch, "succeed", 30, committed=False)
    job = lab.submit("lab.burn", units=1)
    assert execute(job) == "succeeded"
    assert (len(calls), lab.executions(job)) == (31, 1)


def test_file_storage_that_fails_for_a_moment_costs_no_result(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.files.storage import default_storage

    from offload.jobs.worker import kept_end

    save, calls = default_storage.save, []

    def fail(*args: Any) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("no space left on device")
        return save(*args)

    monkeypatch.setattr(default_storage, "save", fail)
    monkeypatch.setattr(kept_end, "STORAGE_RETRY_SECONDS", 0.01)
    job = lab.submit("lab.letters", units=200_000, log="")
    assert execute(job) == "succeeded"


def test_progress_that_cannot_be_written_fails_no_part(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.worker import report

    def refuse(*_: Any) -> None:
        raise OperationalError("deadlock detected")

    monkeypatch.setattr(report, "update_progress", refuse)
    assert execute(lab.submit("lab.burn", units=2)) == "succeeded"


def test_progress_of_any_number_and_text_is_written(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.worker.report import RunningReport

    job = transitions.claim(lab.submit("lab.burn").pk, uuid4(), 1)
    assert job
    RunningReport(job)(float("nan"), "a\0b\udcff")
    job.refresh_from_db()
    assert (job.progress, job.message) == (0.0, "ab\\udcff")


def test_parameters_that_would_not_come_back_are_refused(lab: Lab) -> None:
    from offload.jobs.declare import find_job_type
    from offload.jobs.errors import ParamsUnfit

    refused = [
        ("lab.secret", {"key": "hunter2"}, "'key' differs"),
        ("lab.secret", {"number": float("nan")}, "JSON has no NaN"),
        ("lab.burn", {"log": "a\0b"}, "NUL"),
    ]
    for kind, params, words in refused:
        found = find_job_type(kind)
        with pytest.raises(ParamsUnfit, match=words):
            found.to_json(found.params(**params))
    lab.submit("lab.secret", number=0.1)
    # A text about NUL is no NUL.
    lab.submit("lab.burn", log="a\\u0000b")


def test_a_result_that_would_not_come_back_fails_its_job_in_a_sentence(lab: Lab) -> None:
    job = failed(lab, "lab.numbers")
    assert "JSON has no NaN and no infinity" in job.error


def test_a_divided_job_may_have_equal_parts_of_a_unique_type(lab: Lab) -> None:
    job = lab.submit("lab.twins", logs=["/dev/null"])
    assert execute(job) == "running"
    parts = list(job.parts.all())
    assert [execute(part) for part in parts] == ["succeeded"] * 2
    assert execute(job) == "succeeded"


def test_what_an_earlier_job_left_in_the_process_does_not_count(lab: Lab) -> None:
    # The forked process must not share it.
    connection.close()
    pid = os.fork()
    if pid == 0:
        ways = []
        try:
            ways = [execute(lab.submit("lab.hoard")), execute(lab.submit("lab.modest"))]
        finally:
            os._exit(0 if ways == ["succeeded"] * 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_process_that_is_told_to_end_ends_at_once_and_writes_no_core(lab: Lab) -> None:
    from offload.jobs.worker import executor
    from offload.jobs.worker.assignments import Assignments

    reading_end, writing_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            executor._listen_to_signals(Assignments(1).slot())
            os.write(writing_end, b"listens")
            # One call into C of some minutes, which holds the GIL.
            re.match(r"(a+)+$", "a" * 32 + "b")
        finally:
            os._exit(0)
    assert os.read(reading_end, 7) == b"listens"
    for end in (reading_end, writing_end):
        os.close(end)
    # Now it is within the call, most likely.
    time.sleep(0.5)
    os.kill(pid, signal.SIGQUIT)
    status = os.waitpid(pid, 0)[1]
    assert (os.WIFEXITED(status), os.WCOREDUMP(status)) == (True, False)
    assert os.WEXITSTATUS(status) == signal.SIGQUIT


def test_a_write_that_no_outage_explains_is_not_repeated() -> None:
    from offload.jobs.worker.outage import retry_while_database_is_down

    calls = []

    def refuse(error: Exception) -> None:
        calls.append(1)
        raise error

    with pytest.raises(DataError):
        retry_while_database_is_down(partial(refuse, DataError("no")), lambda: None)
    assert calls == [1]
