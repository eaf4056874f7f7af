"""Why a job does not run, in words. Rows are moved by the test."""

from datetime import timedelta

import pytest
from django.utils import timezone

from .conftest import Lab
from .families import claimed, divided
from .staff_pages import JOBS, leads, page_of, reasons, shift, works
from .staff_pages import _no_workers as _no_workers
from .test_by_hand_staff import _no_jobs as _no_jobs
from .test_maintenance_publish import insert


def test_a_job_that_only_has_to_be_taken_has_no_other_reason(lab: Lab) -> None:
    works()
    leads()
    assert reasons(lab.submit("lab.burn")) == [
        "It is due and a process of a worker is free: it begins in a moment."
    ]


def test_a_job_says_that_no_worker_reads_its_queue_or_knows_its_type(lab: Lab) -> None:
    leads()
    job = lab.submit("lab.burn")
    works("default")
    assert reasons(job) == [
        "No worker reads the queue 'cpu'; workers read: default. Start one: "
        "python -m offload.jobs -Q cpu"
    ]
    works("cpu", "lab.other")
    assert "No running worker of the queue 'cpu' knows the job type 'lab.burn'" in reasons(job)[0]
    silent = works()
    silent.seen_at = timezone.now() - timedelta(hours=1)
    silent.save()
    assert "knows the job type" in reasons(job)[0]
    gone = shift(lab.submit("lab.burn"), queue="gpu")
    assert reasons(gone)[0].startswith("config/celery.py declares no queue 'gpu'.")


def test_a_job_says_who_paused_it_and_why(lab: Lab) -> None:
    from offload.jobs.control import pause

    works()
    leads()
    job = lab.submit("lab.burn")
    pause(queue="cpu", by="anna", reason="the disk is full")
    pause(kind="lab.burn", by="bob")
    first, second = sorted(reasons(job)[:2])
    assert first.startswith("The job type lab.burn is paused by bob since 20")
    assert second.startswith("The queue cpu is paused by anna since 20")
    assert second.endswith(": the disk is full.")


def test_a_job_says_that_it_is_due_later_and_nothing_else(lab: Lab) -> None:
    later = timezone.now() + timedelta(hours=1)
    job = shift(lab.submit("lab.burn"), due_at=later)
    (reason,) = reasons(job)
    assert (
        reason == f"It is due later, at {later:%Y-%m-%d %H:%M:%S} UTC: it was submitted for "
        "that time."
    )
    from offload.jobs import transitions

    tried = transitions.retry(claimed(lab.submit("lab.burn").pk), "the disk is full", 60.0)
    assert "its last attempt failed" in reasons(tried)[0]


def test_a_job_says_that_its_broker_is_away_or_nobody_publishes(lab: Lab) -> None:
    works()
    job = lab.submit("lab.burn")
    assert "No process does the maintenance" in reasons(job)[0]
    leads(reaches_broker=False)
    assert reasons(job) == [
        "The broker (Redis) does not answer. Jobs wait in their rows until it does."
    ]


def test_a_job_says_how_many_wait_before_it_and_that_all_processes_are_busy(lab: Lab) -> None:
    worker = works(slots=1)
    leads()
    from offload.jobs import transitions

    transitions.claim(lab.submit("lab.burn").pk, worker.pk, 1)
    insert(3, seconds=60)
    assert reasons(lab.submit("lab.burn")) == [
        "All processes of the workers of the queue 'cpu' are busy: 1.",
        "Jobs of the queue 'cpu' that have waited longer: 3.",
    ]


def test_a_job_of_a_queue_that_nobody_reads_is_not_expected_to_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.services import services
    from offload.jobs.stats import JobStats, QueueStats

    leads()
    worker = works()
    insert(3, seconds=60)
    job = lab.submit("lab.burn")
    # What the leader has counted: four jobs, and the ends of the last minute.
    stats = JobStats(queues={"cpu": QueueStats(rows=4, drain=2.0)})
    monkeypatch.setattr(services, "stats", stats)
    assert reasons(job)[-1].endswith("At the rate of the last minute it begins in 2 s.")
    worker.seen_at = timezone.now() - timedelta(hours=1)
    worker.save()
    assert reasons(job)[-1] == "Jobs of the queue 'cpu' that have waited longer: 3."


def test_a_blocked_job_names_the_jobs_of_its_limit_and_its_owner_reads_the_same(lab: Lab) -> None:
    from offload.jobs.job_view import summary_of
    from offload.jobs.models import Job
    from offload.jobs.why_waiting import reasons_of_waiting

    works()
    leads()
    jobs = [lab.submit("lab.by_owner", name="x") for _ in range(3)]
    placed, _, last = (Job.objects.get(pk=job.pk) for job in jobs)
    assert (placed.place, last.place) == (0, None)
    reason = reasons_of_waiting(last)[0]
    assert reason.jobs == [placed.pk]
    assert reason.text.endswith(
        "Blocked jobs of this limit that come before it: 1. The limit's places are taken by:"
    )
    shown = summary_of(last).blocked_by
    assert shown is not None
    assert reason.text.lower().startswith(shown.lower())
    assert f'<a href="{JOBS}{placed.pk}/change/">' in page_of(last)


def test_a_divided_job_names_its_unfinished_parts_and_a_held_one_its_lost_worker(lab: Lab) -> None:
    from offload.jobs import transitions

    whole, parts = divided(lab, 2)
    assert transitions.succeed(parts[0], {"value": 1}, "")
    assert reasons(whole) == ["It waits for its parts: 1 of 2 have ended, 1 run, 0 wait."]
    assert reasons(parts[1]) == []
    shift(parts[1], lease_until=timezone.now() - timedelta(seconds=1))
    assert reasons(parts[1])[0].startswith("Nothing was heard from the worker")
