"""One duty or one row that fails does not stop the maintenance of the others."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab


class RecordingBroker:
    """A broker without messages, that records what is published."""

    def __init__(self) -> None:
        self.published: list[str] = []

    def publish(self, messages: Any) -> bool:
        self.published += [message.job_id for message in messages]
        return True

    def depth(self, queue: str) -> int:
        return 0

    def check(self) -> bool:
        return True


def run_maintenance(broker: Any) -> Any:
    """One run of all duties; its stats."""
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.notifier import EventPublisher
    from offload.jobs.stats import JobStats

    stats = JobStats()
    Maintenance(broker, stats, EventPublisher()).run()
    return stats


@pytest.fixture
def waiting(lab: Lab) -> Any:
    """A due job that is old enough for the maintenance to publish it."""
    return aged(lab.submit("lab.burn", units=1))


def aged(job: Any) -> Any:
    job.created_at -= timedelta(seconds=60)
    job.save(update_fields=["created_at"])
    return job


def test_a_result_that_cannot_be_deleted_stops_no_other_duty_and_no_other_deletion(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.core.files.storage import default_storage

    from offload.jobs.models import Job

    def refuse(name: str) -> None:
        raise PermissionError(name)

    monkeypatch.setattr(default_storage, "delete", refuse)
    stuck, expired = (lab.submit("lab.burn", units=1) for _ in range(2))
    long_ago = waiting.created_at - timedelta(days=1)
    ended = {"status": "succeeded", "finished_at": long_ago, "expires_at": long_ago}
    Job.objects.filter(pk=stuck.pk).update(**ended, result_file="job-results/stuck.json")
    Job.objects.filter(pk=expired.pk).update(**ended)

    broker = RecordingBroker()
    run_maintenance(broker)

    assert Job.objects.filter(pk=stuck.pk).exists()
    assert not Job.objects.filter(pk=expired.pk).exists()
    assert str(waiting.pk) in broker.published


def test_a_periodic_job_without_defaults_stops_no_other_duty_and_no_other_periodic_job(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from offload.jobs import declare
    from offload.jobs.models import Job

    burn = declare.find_job_type("lab.burn")
    limits = declare.Limits(time_limit=1, memory_limit=1, every=1.0)
    wrong = dataclasses.replace(burn, name="lab.wrong", limits=limits)
    types = {"lab.wrong": wrong, "lab.tick": declare.find_job_type("lab.tick")}
    monkeypatch.setattr(declare, "_job_types", types)

    broker = RecordingBroker()
    run_maintenance(broker)

    assert Job.objects.filter(kind="lab.tick").exists()
    assert not Job.objects.filter(kind="lab.wrong").exists()
    assert str(waiting.pk) in broker.published


def test_a_row_of_a_removed_queue_stops_no_other_row_and_is_no_outage_of_the_broker(
    lab: Lab, waiting: Any
) -> None:
    from offload.jobs.broker import Broker
    from offload.jobs.models import Job

    lab.redis()
    removed = aged(lab.submit("lab.burn", units=1))
    Job.objects.filter(pk=removed.pk).update(queue="a removed queue")

    broker = Broker()
    stats = run_maintenance(broker)

    assert broker.depth(waiting.queue) == 1
    assert stats.broker
    assert stats.database
    broker.close()


def test_a_row_of_a_type_that_only_workers_know_is_published_like_any_other(
    lab: Lab, waiting: Any
) -> None:
    from offload.jobs.broker import Broker
    from offload.jobs.models import Job

    lab.redis()
    renamed = aged(lab.submit("lab.burn", units=1))
    Job.objects.filter(pk=renamed.pk).update(kind="lab.renamed")

    broker = Broker()
    stats = run_maintenance(broker)

    assert broker.depth("cpu") == 2
    assert stats.broker
    broker.close()


def test_a_lost_job_that_cannot_be_rescued_stops_no_other_rescue(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions
    from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
    from offload.jobs.models import Job
    from offload.jobs.notifier import EventPublisher

    stuck, lost = (lab.submit("lab.burn", units=1) for _ in range(2))
    for job in (stuck, lost):
        assert transitions.claim(job.pk, uuid4(), 1)
    Job.objects.update(lease_until=stuck.created_at)
    reclaim = transitions.reclaim

    def refuse(job: Job, reason: str) -> Job | None:
        if job.pk == stuck.pk:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        return reclaim(job, reason)

    monkeypatch.setattr(transitions, "reclaim", refuse)
    monkeypatch.setattr(Observation, "seconds", lambda self: 60.0)
    RescueLost(Observation(), EventPublisher()).run()

    assert Job.objects.get(pk=stuck.pk).status == "running"
    assert Job.objects.get(pk=lost.pk).status == "queued"
