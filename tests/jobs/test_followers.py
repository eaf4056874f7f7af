"""A chain's next job and the callback at its end are there exactly once, whatever dies."""

import itertools
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from .conftest import Lab, execute
from .families import claimed, tolerant
from .kills import kill_before
from .test_contention import at_once, errors

CHAIN: dict[str, Any] = {"then": ["lab.increment", "lab.increment"], "on_end": "lab.told"}


def rows(kind: str) -> list[Any]:
    from offload.jobs.models import Job

    return list(Job.objects.filter(kind=kind).order_by("created_at", "pk"))


def told() -> list[str]:
    """How the jobs ended that have a callback, as their callbacks were told."""
    return [f"{row.params['kind']} {row.params['status']}" for row in rows("lab.told")]


def execute_all() -> None:
    """Execute what is due in this process until nothing is."""
    from offload.jobs.models import Job
    from offload.jobs.worker.executor import JobFailed

    due = Job.objects.filter(due_at__isnull=False).order_by("created_at", "number")
    while job := due.first():
        with suppress(JobFailed):
            execute(job)


def kill_at_every_statement(submit: Callable[[], Any], check: Callable[[Any], None]) -> None:
    """For each statement: submit, kill the worker's process there, go on with another, check."""
    from offload.jobs import transitions
    from offload.jobs.models import Job

    for statement in itertools.count():
        Job.objects.all().delete()
        job = submit()
        killed = kill_before(statement, execute_all)
        for lost in Job.objects.filter(worker__isnull=False):
            transitions.reclaim(lost, "worker lost")
        execute_all()
        check(Job.objects.get(pk=job.pk))
        if not killed:
            assert statement > 10
            return


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second connection attempt to a Redis that is not there."""
    from offload.jobs.services import services

    monkeypatch.setattr(services.events, "publish", lambda job: None)


def test_a_chain_goes_on_exactly_once_wherever_its_worker_is_killed(lab: Lab) -> None:
    def check(first: Any) -> None:
        done = [row.result["value"] for row in rows("lab.increment")]
        assert (first.status, sorted(done)) == ("succeeded", [1, 2])
        assert [row.result["text"] for row in rows("lab.told")] == ["lab.increment succeeded: "]

    chain: dict[str, Any] = {"then": ["lab.increment"], "on_end": "lab.told"}
    kill_at_every_statement(lambda: lab.submit("lab.increment", value=0, **chain), check)


def test_a_batch_that_fails_calls_back_exactly_once_wherever_its_worker_is_killed(
    lab: Lab,
) -> None:
    def check(whole: Any) -> None:
        assert whole.status == "failed"
        assert [row.result["text"] for row in rows("lab.told")] == [
            f"lab.tolerant failed: {whole.error}"
        ]

    kill_at_every_statement(
        lambda: lab.submit("lab.tolerant", letters="x", then=["lab.repeat"], on_end="lab.told"),
        check,
    )
    assert rows("lab.repeat") == []


def test_a_chain_survives_its_worker_and_the_api_leads_from_job_to_job(running: Lab) -> None:
    from offload.jobs.job_view import summary_of
    from offload.jobs.models import Job

    job = running.submit("lab.burn", units=1, gate=str(running.gate), **CHAIN)
    assert summary_of(job).next_url is None
    running.computes(job)
    running.kill("worker")
    running.gate.touch()
    running.worker("another")

    for kind in ("lab.increment", "lab.increment"):
        ended = running.reaches(job, "succeeded")
        next_url = summary_of(ended).next_url
        assert next_url is not None
        job = Job.objects.get(pk=next_url.rpartition("/")[2])
        assert (job.kind, job.owner, job.params) == (kind, "lab", ended.result)

    assert summary_of(running.reaches(job, "succeeded")).next_url is None
    callback = running.until(lambda: rows("lab.told"), "the callback")[0]
    assert running.reaches(callback, "succeeded").result == {"text": "lab.increment succeeded: "}
    assert (len(rows("lab.increment")), len(rows("lab.told"))) == (2, 1)


def test_a_cancel_in_the_middle_ends_the_chain_and_calls_back(lab: Lab) -> None:
    from offload.jobs import transitions

    execute(lab.submit("lab.burn", units=1, **CHAIN))
    (second,) = rows("lab.increment")
    assert transitions.request_cancel(second.pk).status == "cancelled"
    assert transitions.request_cancel(second.pk).status == "cancelled"
    assert (len(rows("lab.increment")), told()) == (1, ["lab.increment cancelled"])


def test_a_cancel_of_a_running_job_ends_the_chain_when_it_has_stopped(lab: Lab) -> None:
    from offload.jobs import transitions

    job = claimed(lab.submit("lab.burn", units=1, **CHAIN).pk)
    assert transitions.request_cancel(job.pk).status == "running"
    assert told() == []
    assert transitions.stop(job)
    assert (rows("lab.increment"), told()) == ([], ["lab.burn cancelled"])


def test_a_cancel_beside_a_success_ends_the_chain_or_lets_it_go_on(lab: Lab) -> None:
    from django.db import connection

    from offload.jobs import transitions
    from offload.jobs.models import Job

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")
    for _ in range(20):
        Job.objects.all().delete()
        job = claimed(lab.submit("lab.burn", units=1, **CHAIN).pk)
        ends = at_once(
            partial(transitions.succeed, job, {"value": 1}, ""),
            partial(transitions.request_cancel, job.pk),
            partial(transitions.reclaim, job, "worker lost"),
        )
        assert errors(ends) == []
        job.refresh_from_db()
        followers = {"succeeded": (1, []), "cancelled": (0, ["lab.burn cancelled"])}
        expected = followers.get(job.status, (0, []))
        assert (len(rows("lab.increment")), told()) == expected


def test_a_failed_job_ends_the_chain_and_its_callback_is_told_why(lab: Lab) -> None:
    from offload.jobs import transitions

    job = claimed(lab.submit("lab.burn", units=1, **CHAIN).pk)
    assert transitions.fail(job, "worker lost: its process is gone")
    execute_all()
    assert rows("lab.increment") == []
    (callback,) = rows("lab.told")
    assert callback.result == {"text": "lab.burn failed: worker lost: its process is gone"}
    assert (callback.queue, callback.max_attempts) == ("default", 5)


def test_a_job_that_nobody_can_compute_calls_back_when_it_is_given_up(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.row_states import due

    job = lab.submit("lab.burn", units=1, **CHAIN)
    assert transitions.give_up(job.pk, "no worker knows it", due())
    assert told() == ["lab.burn failed"]


def test_parts_that_fail_together_call_back_once(lab: Lab) -> None:
    from django.db import connection

    from offload.jobs import transitions
    from offload.jobs.models import Job

    if connection.vendor != "postgresql":
        pytest.skip("SQLITE HAS ONE WRITER: test_postgres.py runs this file on PostgreSQL")
    for _ in range(5):
        Job.objects.all().delete()
        whole, parts = tolerant(lab, 6)
        callback = lab.submit("lab.burn", units=1, on_end="lab.told").on_end
        Job.objects.filter(pk=whole.pk).update(on_end=callback)
        fails = [partial(transitions.fail, part, "ValueError") for part in parts]
        assert errors(at_once(*fails)) == []
        assert told() == ["lab.tolerant failed"]


def test_an_end_whose_follower_cannot_be_inserted_is_no_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import DataError
    from django.db.models import QuerySet

    from offload.jobs import transitions

    def refuse(*_: Any) -> None:
        raise DataError("no")

    job = claimed(lab.submit("lab.burn", units=1, **CHAIN).pk)
    monkeypatch.setattr(QuerySet, "bulk_create", refuse)
    with pytest.raises(DataError):
        transitions.succeed(job, {"value": 1}, "")
    job.refresh_from_db()
    assert job.status == "running"


def test_a_process_that_does_not_know_the_followers_inserts_them(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import declare, transitions
    from offload.jobs.models import Job

    job = claimed(lab.submit("lab.burn", units=1, **CHAIN).pk)
    then = [each | {"column_of_tomorrow": 1} for each in job.then]
    Job.objects.filter(pk=job.pk).update(then=then)
    monkeypatch.setattr(declare, "_job_types", {})
    assert transitions.succeed(job, {"value": 1}, "")
    (follower,) = rows("lab.increment")
    assert follower.params == {"value": 1}
    assert follower.result_lifetime.total_seconds() == 60


def test_a_job_that_is_started_again_by_hand_calls_back_at_its_second_end_too(lab: Lab) -> None:
    from django.db.models import Q
    from django.db.models.functions import Now

    from offload.jobs import transitions
    from offload.jobs.fenced_update import fenced_update
    from offload.jobs.row_states import due

    job = lab.submit("lab.burn", units=1, **CHAIN)
    assert transitions.give_up(job.pk, "no worker knows it", due())
    assert fenced_update(Q(), job.pk, status="queued", due_at=Now())
    assert transitions.request_cancel(job.pk)
    assert sorted(told()) == ["lab.burn cancelled", "lab.burn failed"]


def test_a_result_that_is_too_large_for_the_next_job_fails_in_words(lab: Lab) -> None:
    job = lab.submit("lab.letters", units=70_000, log="", then=["lab.repeat"])
    execute_all()
    job.refresh_from_db()
    assert job.status == "failed"
    assert "its result of 70011 bytes cannot be the parameters of 'lab.repeat'" in job.error


@pytest.mark.parametrize(
    ("kind", "followers", "sentence"),
    [
        (
            "lab.burn",
            {"then": ["lab.repeat"]},
            "'lab.repeat' cannot follow 'lab.burn': it takes Text, and the result .* is Done",
        ),
        ("lab.burn", {"then": ["lab.increment", "lab.repeat"]}, "cannot follow 'lab.increment'"),
        ("lab.burn", {"on_end": "lab.increment"}, "it takes Done, and not JobEnded"),
        ("lab.unique", {"on_end": "lab.told"}, "'lab.unique' is unique"),
    ],
)
def test_followers_that_do_not_fit_are_refused(
    lab: Lab, kind: str, followers: dict[str, Any], sentence: str
) -> None:
    from offload.jobs import InvalidJob
    from offload.jobs.models import Job

    with pytest.raises(InvalidJob, match=sentence):
        lab.submit(kind, units=1, **followers)
    assert not Job.objects.filter(owner="lab").exists()


def test_a_followers_parameters_that_do_not_fit_are_not_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    from offload.jobs.followers import _limit_key

    assert _limit_key("lab.three", "lab", {"words": "nobody's business"})
    assert "name: Field required" in caplog.text
    assert "business" not in caplog.text
