"""One duty or one row that fails does not stop the maintenance of the others."""

import time
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab, execute


class RecordingBroker:
    """A broker without messages, that records what is published."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.unmarked: list[str] = []

    def publish(self, messages: Any) -> bool:
        self.unmarked += [message.job_id for message in messages]
        self.published += self.unmarked
        return True

    def take_published(self) -> list[str]:
        unmarked, self.unmarked = self.unmarked, []
        return unmarked

    def depth(self, queue: str) -> int:
        return 0

    def check(self) -> bool:
        return True


def run_maintenance(broker: Any) -> Any:
    """One run of all duties; its stats."""
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.runner import Maintenance
    from offload.jobs.models import Leader
    from offload.jobs.stats import JobStats

    # The lead of an earlier run has ended.
    Leader.objects.all().delete()
    stats = JobStats()
    Maintenance(broker, stats, EventPublisher()).run()
    return stats


@pytest.fixture
def waiting(lab: Lab) -> Any:
    """A due job that is old enough for the maintenance to publish it."""
    return aged(lab.submit("lab.burn", units=1))


def aged(job: Any) -> Any:
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    Job.objects.filter(pk=job.pk).update(due_at=from_now(-60))
    job.refresh_from_db()
    return job


def expired(job: Any, *files: str) -> Any:
    """The job has ended, and the time that it is kept for has passed."""
    from offload.jobs.models import Job, ResultFile
    from offload.jobs.row_states import from_now

    long_ago = {"finished_at": from_now(-86_400), "expires_at": from_now(-86_400), "due_at": None}
    Job.objects.filter(pk=job.pk).update(status="succeeded", **long_ago)
    for name in files:
        ResultFile.objects.create(name=name, job_id=job.pk)
        Job.objects.filter(pk=job.pk).update(result_file=name)
    return job


def prune_until(lab: Lab, condition: Any, what: str) -> None:
    from offload.jobs.maintenance.prune import Prune

    prune = Prune()

    def run() -> Any:
        prune._next_run = 0.0
        prune.run()
        return condition()

    lab.until(run, what)


def test_a_file_that_cannot_be_deleted_stops_no_other_duty_and_keeps_no_row(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from django.core.files.storage import default_storage

    from offload.jobs.models import Job, ResultFile

    def refuse(name: str) -> None:
        if "stuck" in name:
            raise PermissionError(name)

    monkeypatch.setattr(default_storage, "delete", refuse)
    for name in ("job-results/stuck.json", "job-results/well.json", "job-results/a-stuck.json"):
        expired(lab.submit("lab.burn", units=1), name)

    broker = RecordingBroker()
    run_maintenance(broker)
    assert str(waiting.pk) in broker.published
    assert list(Job.objects.filter(owner="lab")) == [waiting]

    files = ResultFile.objects.order_by("name").values_list("name", flat=True)
    left = ["job-results/a-stuck.json", "job-results/stuck.json"]
    prune_until(lab, lambda: list(files.all()) == left, "the deletable file to be deleted")
    # Not each file: a storage that refuses all of them would fill the log. Two duties have run,
    # the first of them in a thread that may still be at work.
    lab.until(lambda: caplog.text.count("cannot be deleted") >= 2, "the lines of both")
    assert caplog.text.count("cannot be deleted") == 2
    monkeypatch.undo()
    prune_until(
        lab, lambda: not files.exists(), "the others to be deleted once the storage allows it"
    )


def test_a_storage_that_hangs_holds_up_no_duty(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from django.core.files.storage import default_storage

    from offload.jobs.database import FORK_LOCK

    goes_on = threading.Event()
    monkeypatch.setattr(default_storage, "delete", lambda name: goes_on.wait(60))
    expired(lab.submit("lab.burn", units=1), "job-results/slow.json")
    try:
        broker = RecordingBroker()
        run_maintenance(broker)
        assert str(waiting.pk) in broker.published
        other = threading.Thread(target=take_and_release, args=(FORK_LOCK,), daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive(), "FORK_LOCK is held while a file is deleted"
    finally:
        goes_on.set()


def take_and_release(lock: Any) -> None:
    with lock:
        pass


def test_every_file_of_a_deleted_job_is_deleted_also_those_of_lost_attempts_and_of_parts(
    lab: Lab,
) -> None:
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from offload.jobs.models import Job, ResultFile

    names = [f"job-results/{uuid4()}.json" for _ in range(3)]
    for name in names:
        default_storage.save(name, ContentFile(b"{}"))
    parent = expired(lab.submit("lab.burn", units=1), *names[:2])
    part = lab.submit("lab.burn", units=1)
    Job.objects.filter(pk=part.pk).update(parent=parent.pk, number=1)
    expired(part, names[2])

    prune_until(lab, lambda: not ResultFile.objects.exists(), "all files to be deleted")
    assert [name for name in names if default_storage.exists(name)] == []
    assert not Job.objects.exists()


def test_a_large_result_is_announced_before_its_file_is_written(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from django.core.files.storage import default_storage

    from offload.jobs.models import ResultFile
    from offload.jobs.worker import kept_end

    def die(name: str, content: Any) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr(default_storage, "save", die)
    monkeypatch.setattr(kept_end, "STORAGE_TIMEOUT_SECONDS", 0)
    job = lab.submit("lab.letters", units=200_000)
    assert execute(job) == "unwritten"
    assert [file.job_id for file in ResultFile.objects.all()] == [job.pk]
    # Who is on call looks for the disk, and not for the database.
    (line,) = (each.getMessage() for each in caplog.records if each.levelname == "ERROR")
    assert "the database or file storage refuses its end" in line


def test_parts_are_kept_until_their_whole_is_deleted(lab: Lab) -> None:
    from offload.jobs.maintenance.prune import Prune
    from offload.jobs.models import Job

    parent, part = (lab.submit("lab.burn", units=1) for _ in range(2))
    Job.objects.filter(pk=part.pk).update(parent=parent.pk, number=1)
    expired(part)
    Prune().run()
    assert Job.objects.count() == 2

    expired(parent)
    Prune().run()
    assert not Job.objects.exists()


def test_a_whole_with_a_missing_part_fails_and_gives_no_wrong_result(lab: Lab) -> None:
    from offload.jobs import transitions
    from offload.jobs.models import Job
    from offload.jobs.worker import executor

    whole, parts = divided_job(lab, 3)
    parts[0].delete()
    for part in parts[1:]:
        claimed = transitions.claim(part.pk, uuid4(), 1)
        assert claimed
        transitions.succeed(claimed, {"value": 10}, "")

    with pytest.raises(executor.JobFailed, match="2 of 3 parts"):
        execute(whole)
    assert Job.objects.get(pk=whole.pk).status == "failed"


def divided_job(lab: Lab, count: int) -> tuple[Any, list[Any]]:
    """A job that waits for its parts."""
    from offload.jobs import transitions
    from offload.jobs.declare import find_job_type
    from offload.jobs.parts import make_parts

    whole = transitions.claim(lab.submit("lab.whole", logs=["/dev/null"] * count).pk, uuid4(), 1)
    assert whole
    job_type = find_job_type(whole.kind)
    parts = make_parts(job_type, whole, job_type.params.model_validate(whole.params))
    assert transitions.divide(whole, parts)
    return whole, parts


@pytest.mark.parametrize(
    ("ends", "status", "phase"),
    [
        (("succeeded", "succeeded"), "running", "join"),
        (("succeeded", "failed"), "failed", "parts"),
        (("cancelled", "succeeded"), "failed", "parts"),
        (("succeeded",), "failed", "parts"),
        (("succeeded", "queued"), "running", "parts"),
    ],
)
def test_a_whole_whose_parts_have_all_ended_does_not_wait_for_ever(
    lab: Lab, ends: tuple[str, ...], status: str, phase: str
) -> None:
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.settle_divided import SettleDivided
    from offload.jobs.models import Job

    whole, parts = divided_job(lab, 2)
    for part, end in zip(parts, ends, strict=False):
        # By hand, so that nothing tells the whole.
        Job.objects.filter(pk=part.pk).update(status=end)
    for part in parts[len(ends) :]:
        part.delete()

    SettleDivided(EventPublisher()).run()
    whole.refresh_from_db()
    assert (whole.status, whole.phase) == (status, phase)
    assert (whole.due_at is not None) == (phase == "join")


def test_a_periodic_job_without_defaults_stops_no_other_duty_and_no_other_periodic_job(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    from offload.jobs import declare
    from offload.jobs.models import Job

    burn = declare.find_job_type("lab.burn")
    limits = dataclasses.replace(burn.limits, every=1.0)
    wrong = dataclasses.replace(burn, name="lab.wrong", limits=limits)
    types = {"lab.wrong": wrong, "lab.tick": declare.find_job_type("lab.tick")}
    monkeypatch.setattr(declare, "_job_types", types)

    broker = RecordingBroker()
    run_maintenance(broker)

    assert Job.objects.filter(kind="lab.tick").exists()
    assert not Job.objects.filter(kind="lab.wrong").exists()
    assert str(waiting.pk) in broker.published


def _trust_slow_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that this machine stops for a moment is not down."""
    from offload.jobs import relay

    patient = {"socket_timeout": 30.0, "socket_connect_timeout": 30.0}
    monkeypatch.setattr(relay, "CONNECTION_LIMITS", relay.CONNECTION_LIMITS | patient)


def test_a_row_of_a_removed_queue_stops_no_other_row_and_is_no_outage_of_the_broker(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.relay import Broker

    lab.redis()
    _trust_slow_redis(monkeypatch)
    removed = aged(lab.submit("lab.burn", units=1))
    Job.objects.filter(pk=removed.pk).update(queue="a removed queue")

    broker = Broker()
    stats = run_maintenance(broker)

    assert broker.depth(waiting.queue) == 1
    assert stats.broker
    broker.close()


def test_a_row_of_a_type_that_only_workers_know_is_published_like_any_other(
    lab: Lab, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.models import Job
    from offload.jobs.relay import Broker

    lab.redis()
    _trust_slow_redis(monkeypatch)
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
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
    from offload.jobs.models import Job

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


def test_a_lost_job_whose_lease_is_of_a_clock_that_was_ahead_is_rescued(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs import transitions
    from offload.jobs.events import EventPublisher
    from offload.jobs.maintenance.rescue_lost import Observation, RescueLost
    from offload.jobs.models import Job
    from offload.jobs.row_states import from_now

    monkeypatch.setattr(Observation, "seconds", lambda self: 60.0)
    rescue = RescueLost(Observation(), EventPublisher())
    worker, jobs = uuid4(), [lab.submit("lab.burn", units=1) for _ in range(3)]
    for job in jobs:
        assert transitions.claim(job.pk, worker, 1)
    lost, renewed, usual = (job.pk for job in jobs)
    Job.objects.filter(pk__in=(lost, renewed)).update(lease_until=from_now(86_400))

    rescue.run()
    transitions.renew(worker, [renewed])
    rescue.run()
    assert {row.status for row in Job.objects.filter(pk__in=(lost, renewed))} == {"running"}
    # A lease later. The first run ends the lease, the second one rescues.
    rescue._far_read_at -= 3600.0
    rescue.run()
    # The clock of SQLite has milliseconds.
    time.sleep(0.01)
    rescue.run()
    found = Job.objects.in_bulk([lost, renewed, usual])
    states = [found[pk].status for pk in (lost, renewed, usual)]
    assert states == ["queued", "running", "running"]
