"""Retries, pauses and start times with a real worker, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .conftest import Lab, new_lab, publish_patiently
from .test_by_hand_staff import _no_jobs as _no_jobs
from .test_by_hand_staff import command
from .test_families import states
from .test_start_times import shift


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, _database: None) -> Iterator[Lab]:
    """Redis and one worker of two slots for all tests of this file."""
    for lab in new_lab(tmp_path_factory.mktemp("control")):
        lab.redis()
        lab.worker()
        yield lab


def test_a_retried_job_is_computed_once_more(worked: Lab) -> None:
    log = worked.folder / "missing" / "log"
    job = worked.submit("lab.burn", log=str(log), units=1)
    assert "FileNotFoundError" in worked.reaches(job, "failed").error

    log.parent.mkdir()
    assert "retry: 1 jobs" in command("retry", job.pk)
    row = worked.reaches(job, "succeeded")
    assert (row.attempts, worked.executions(job), row.error) == (1, 1, "")


def test_a_retried_part_is_computed_again_and_its_whole_is_joined(worked: Lab) -> None:
    logs = [worked.folder / name / "log" for name in ("first", "second")]
    logs[0].parent.mkdir()
    whole = worked.submit("lab.whole", logs=[str(log) for log in logs], units=1)
    worked.reaches(whole, "failed")

    parts = list(whole.parts.order_by("number"))
    worked.reaches(parts[0], "succeeded", "cancelled")
    before = states(parts)
    logs[1].parent.mkdir()
    command("retry", parts[1].pk)
    assert worked.reaches(whole, "succeeded").result["value"] > 0
    # A part that had succeeded is not computed again.
    starts = Path(logs[0]).read_text().count("start")
    assert starts == 1 or before[0] == "cancelled"


def test_a_paused_job_waits_and_a_consumed_message_costs_nothing(worked: Lab) -> None:
    from offload.jobs.relay import Broker, JobMessage

    command("pause", "--kind", "lab.burn", "--reason", "a poison deploy")
    paused, other = worked.submit("lab.burn", units=1), worked.submit("lab.silent", units=1)
    broker = Broker()
    publish_patiently(worked, broker, [JobMessage.of(paused)])
    broker.close()
    worked.reaches(other, "succeeded")
    assert (states([paused]), worked.executions(paused)) == (["queued"], 0)
    assert "the job type lab.burn, by " in command("paused")

    command("resume", "--kind", "lab.burn")
    worked.reaches(paused, "succeeded")
    assert worked.executions(paused) == 1


def test_a_job_for_later_begins_at_its_time(worked: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    burn = find_job_type("lab.burn")
    run_at = datetime.now(UTC) + timedelta(seconds=2)
    params = burn.params(log=str(worked.folder / "later"), units=1)
    job = submit_sync(burn, params, owner="lab", run_at=run_at)
    row = worked.reaches(job, "succeeded")
    assert row.started_at >= run_at - timedelta(milliseconds=1)
    assert worked.executions(job) == 1


def test_a_job_that_was_paused_for_too_long_is_never_computed(worked: Lab) -> None:
    from offload.jobs import submit_sync
    from offload.jobs.declare import find_job_type

    command("pause", "--queue", "cpu")
    burn = find_job_type("lab.burn")
    params = burn.params(log=str(worked.folder / "too-late"), units=1)
    deadline = datetime.now(UTC) + timedelta(hours=1)
    job = submit_sync(burn, params, owner="lab", start_before=deadline)
    shift(job, start_before=-timedelta(hours=2))
    assert "no worker began it before" in worked.reaches(job, "failed").error
    command("resume", "--queue", "cpu")
    worked.reaches(worked.submit("lab.burn", units=1), "succeeded")
    assert worked.executions(job) == 0
