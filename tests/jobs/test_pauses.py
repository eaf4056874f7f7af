"""Queues and job types that are paused, on both databases, moved by the test."""

import logging
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Lab
from .families import claimed
from .test_maintenance import RecordingBroker, aged, run_maintenance
from .test_maintenance_publish import CountingBroker, another_leads, insert, process
from .test_maintenance_publish import quiet as quiet

TARGETS: list[dict[str, str]] = [{"queue": "cpu"}, {"kind": "lab.burn"}]


def claim(job: Any) -> Any:
    from offload.jobs import transitions

    return transitions.claim(job.pk, uuid4(), 1)


def pause(**target: str) -> None:
    from offload.jobs.control import pause

    pause(**target, by="the tests", reason="the upstream is repaired")


def resume(**target: str) -> None:
    from offload.jobs.control import resume

    assert resume(**target, by="the tests")


@pytest.mark.parametrize("target", TARGETS)
def test_no_job_of_a_pause_is_claimed_until_it_is_resumed(
    lab: Lab, target: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "offload.jobs"):
        running = claimed(lab.submit("lab.burn", units=1).pk)
        pause(**target)
        job = lab.submit("lab.burn", units=1)
        assert claim(job) is None
        # Running jobs go on to their end.
        from offload.jobs import transitions

        assert transitions.succeed(running, {"value": 1}, "")

        resume(**target)
        assert claim(job) is not None
    assert "is paused by the tests, its jobs wait: the upstream is repaired" in caplog.text
    assert "is resumed by the tests" in caplog.text


def test_other_types_and_queues_go_on(lab: Lab) -> None:
    pause(kind="lab.burn")
    pause(queue="default")
    assert claim(lab.submit("lab.silent", units=1)) is not None
    assert claim(lab.submit("lab.tick")) is None


@pytest.mark.parametrize("target", TARGETS)
def test_a_paused_job_gets_no_message_and_after_the_resume_one(quiet: Lab, target: Any) -> None:
    job = aged(quiet.submit("lab.burn", units=1))
    pause(**target)
    broker = RecordingBroker()
    stats = run_maintenance(broker)
    assert broker.published == []
    # It counts for the depth of its queue, and not for its age.
    cpu = stats.queues["cpu"]
    assert (cpu.depth, cpu.rows, cpu.age) == (1, 0, 0.0)
    assert stats.paused == [(target.get("queue", ""), target.get("kind", ""))]

    resume(**target)
    stats = run_maintenance(broker)
    assert set(broker.published) == {str(job.pk)}
    assert (stats.queues["cpu"].rows, stats.paused) == (1, [])


def test_messages_that_were_consumed_during_a_pause_are_published_again(quiet: Lab) -> None:
    insert(20)
    broker = CountingBroker()
    leader = process(broker)
    leader.run()
    assert len(broker.messages) == 20

    pause(queue="cpu")
    # Workers consume and discard them.
    broker.messages.clear()
    leader.run()
    assert broker.messages == []

    resume(queue="cpu")
    for _ in range(2):
        another_leads()
        leader.run()
    assert len(broker.messages) == len(set(broker.messages)) == 20


def test_a_paused_queue_takes_jobs_up_to_its_depth(
    quiet: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from offload.jobs.admission import admit
    from offload.jobs.services import services
    from offload.problems import Problem

    pause(queue="cpu")
    insert(5, seconds=3600)
    monkeypatch.setattr(services, "stats", run_maintenance(RecordingBroker()))
    admit("cpu", "ada")

    services.stats.queues["cpu"].depth = 10**6
    with pytest.raises(Problem) as refused:
        admit("cpu", "ada")
    assert refused.value.status == 503


@pytest.mark.parametrize("target", TARGETS)
def test_the_age_of_a_queue_begins_anew_after_a_pause(quiet: Lab, target: Any) -> None:
    insert(3, seconds=3600)
    pause(**target)
    leader = process(RecordingBroker())
    leader.run()
    resume(**target)
    another_leads()
    leader.run()
    cpu = leader.stats.queues["cpu"]
    # With the age of an hour every submit would be refused.
    assert (cpu.rows, cpu.age < 30) == (3, True)


def test_a_whole_is_paused_before_its_parts_and_before_its_join(lab: Lab) -> None:
    from offload.jobs import transitions

    from .families import divided

    whole, parts = divided(lab, 1)
    pause(kind="lab.whole")
    assert transitions.succeed(parts[0], {"value": 1}, "")
    assert claim(whole) is None
    resume(kind="lab.whole")
    assert claim(whole).phase == "join"


def test_a_paused_job_fails_at_its_deadline(quiet: Lab) -> None:
    from datetime import timedelta

    from .test_start_times import shift

    job = quiet.submit("lab.prompt")
    pause(kind="lab.prompt")
    shift(job, start_before=-timedelta(hours=2))
    run_maintenance(RecordingBroker())
    job.refresh_from_db()
    assert job.status == "failed"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({}, "not both"),
        ({"queue": "cpu", "kind": "lab.burn"}, "not both"),
        ({"queue": "gpu"}, "declares default, cpu"),
        ({"kind": "lab.nobody"}, "known are lab.burn, "),
    ],
)
def test_what_cannot_be_paused_is_refused_with_a_sentence(lab: Lab, target: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pause(**target)


def test_a_second_pause_changes_nothing_and_a_second_resume_says_so(lab: Lab) -> None:
    from offload.jobs.control import resume
    from offload.jobs.models import Pause

    for _ in range(2):
        pause(queue="cpu")
    assert Pause.objects.count() == 1
    assert resume(queue="cpu", by="the tests")
    assert not resume(queue="cpu", by="the tests")
